"""Turning the scores along a path into rows, and those at its end into an audit."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ungrok.evaluate.answers import Questioned
from ungrok.evaluate.path import path_audits, path_rows
from ungrok.study.job import Job, Result, Spec, register
from ungrok.study.jobs import oracle, unlearn
from ungrok.study.jobs.checkpoint import WEIGHTS
from ungrok.study.jobs.oracle import Oracle
from ungrok.study.jobs.questions import Attacks, logs_of
from ungrok.study.jobs.unlearn import Unlearn
from ungrok.study.manifest import Finished
from ungrok.study.store import Work


class EvaluateSpec(Spec):
    """The levels of UA that the input ``path`` should come down to. It is compared with the input ``oracle``, where there is one.

    Its end is audited unless ``audit`` is false.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"audit"})

    targets: list[float | Literal["oracle"]]
    audit: bool = True


class EvaluateResult(Result):
    """One row per observed place, and one on the end of the path where it was audited."""

    rows: list[dict[str, Any]]
    audits: list[dict[str, Any]]


@register
class Evaluate(Job[EvaluateSpec, EvaluateResult]):
    """Turn the scores along a path into rows, and those at its end into an audit."""

    kind = "evaluate"
    version = 3
    unread = frozenset({WEIGHTS})
    spec_type = EvaluateSpec
    result_type = EvaluateResult
    cost = 0.2

    def run(self, work: Work) -> EvaluateResult:
        """Evaluate the path."""
        path = work.open("path", Unlearn)
        if not path.result.doses:
            return EvaluateResult(rows=[], audits=[])
        beside = work.open("oracle", Oracle) if work.has("oracle") else None
        if beside is not None and beside.result.step is None:
            beside = None
        reference = None if beside is None else beside.tensors(oracle.SCORES)
        scores, record = path.tensors(unlearn.SCORES), path.result.to_dict()
        rows = path_rows(scores, record, self.spec.targets, reference)
        if not self.spec.audit:
            return EvaluateResult(rows=rows, audits=[])
        asked = _questioned(path, path.result.attacks)
        oracle_asked = None if beside is None else _questioned(beside, beside.result.attacks)
        ends = path_audits(scores, record, reference, path.spec.seed, asked=asked, oracle_asked=oracle_asked)
        return EvaluateResult(rows=rows, audits=ends)


def _questioned(source: Finished[Any, Any], attacks: Attacks | None) -> Questioned | None:
    """Return what the model of a job answered; None where it was not asked."""
    logs = logs_of(source.path)
    return None if logs is None else Questioned(logs, {name: each.to_dict() for name, each in (attacks or {}).items()})
