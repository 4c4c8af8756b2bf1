"""What is left of every forget set, and of everything else, after each of several requests in sequence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ungrok.data.base import Data
from ungrok.data.forget import ForgetSplit
from ungrok.evaluate.path import place_accuracies
from ungrok.evaluate.targets import target_column
from ungrok.study.job import Job, Result, Spec, register
from ungrok.study.jobs import oracle, unlearn
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.checkpoint import WEIGHTS, Checkpoint
from ungrok.study.jobs.evaluate import Evaluate
from ungrok.study.jobs.oracle import Oracle
from ungrok.study.jobs.placed import row_at
from ungrok.study.jobs.split import split_for
from ungrok.study.jobs.unlearn import Unlearn
from ungrok.study.store import Work

COSTS = ("updates", "forget_passes", "retain_passes")
"""What every phase adds to; rows hold the sums so far."""

ACCURACIES = ("UA", "RA", "TA", "bystander_accuracy")


class SequenceSpec(Spec):
    """The last of the requests, which says what was forgotten before it, and at which target of UA, or where else, phases end.

    A phase that does not come down to its target ends with its path.

    Inputs are ``stage``, from which the sequence starts, and for each phase, counted from 1, ``path_1`` and ``rows_1``, or
    ``oracle_1`` for models trained anew. ``forget`` is left out where an input ``split`` says what was forgotten.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"forget"})

    forget: Forget | None = None
    phases: int
    where: float | Literal["oracle", "end"]


class SequenceResult(Result):
    """One row per phase and set forgotten so far, up to the last phase that has a model.

    Rows hold ``phase``; ``of``, the phase in which the set was forgotten; UA on that set; RA on what is retained in the phase; TA;
    ``bystander_accuracy`` on test examples of classes that no request has touched; :data:`COSTS`; and ``reached``, whether the
    phase came down to its target. What is not known is None.
    """

    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class PhaseEnd:
    """The model at the end of a phase.

    Args:
        scores: What :meth:`ungrok.core.scores.Scores.stack` made of its scores, and maybe of those at other places.
        place: Its own among these.
        kind: Of the scores.
        costs: Of this phase alone, named as in :data:`COSTS`.
        reached: Whether the target was reached; None without one.

    """

    scores: Mapping[str, Tensor]
    place: int
    kind: str
    costs: Mapping[str, float | None]
    reached: bool | None


@register
class RequestSequence(Job[SequenceSpec, SequenceResult]):
    """Read, at the end of each phase, what is left of every set forgotten so far and of everything else."""

    kind = "sequence"
    version = 1
    unread = frozenset({WEIGHTS})
    spec_type = SequenceSpec
    result_type = SequenceResult
    cost = 0.2

    def run(self, work: Work) -> SequenceResult:
        """Read the scores of every phase."""
        data = work.open("stage", Checkpoint).result.training.data()
        split = split_for(work, data, self.spec.forget)
        rows, spent = list[dict[str, Any]](), dict[str, float | None](dict.fromkeys(COSTS, 0))
        for phase, end in enumerate(_ends(work, self.spec), start=1):
            spent = {name: _sum(spent[name], end.costs[name]) for name in COSTS}
            rows += [place | spent | {"reached": end.reached} for place in accuracies_of(end, split, phase, data)]
        return SequenceResult(rows=rows)


def _sum(so_far: float | None, more: float | None) -> float | None:
    return None if so_far is None or more is None else so_far + more


def _ends(work: Work, spec: SequenceSpec) -> Iterator[PhaseEnd]:
    """Yield the end of every phase, up to the first that has no model."""
    for phase in range(1, spec.phases + 1):
        end = _of_oracle(work, f"oracle_{phase}") if work.has(f"oracle_{phase}") else _of_path(work, spec, phase)
        if end is None:
            return
        yield end


def _of_oracle(work: Work, role: str) -> PhaseEnd | None:
    source = work.open(role, Oracle)
    if source.result.step is None:
        return None
    costs = {"updates": source.result.step, "forget_passes": None, "retain_passes": None}
    return PhaseEnd(source.tensors(oracle.SCORES), 0, source.spec.scores, costs, None)


def _of_path(work: Work, spec: SequenceSpec, phase: int) -> PhaseEnd | None:
    path, rows = work.open(f"path_{phase}", Unlearn), work.open(f"rows_{phase}", Evaluate).result.rows
    if not rows:
        return None
    last, kind = row_at(rows, spec.where, or_end=True), path.result.scores
    assert last is not None
    assert kind is not None
    reached = None if spec.where == "end" else bool(last[target_column(spec.where)])
    costs = {name: last[name] for name in COSTS}
    return PhaseEnd(path.tensors(unlearn.SCORES), rows.index(last), kind, costs, reached)


def accuracies_of(end: PhaseEnd, split: ForgetSplit, phase: int, data: Data) -> Iterator[dict[str, Any]]:
    """Yield one row per set that was forgotten in a phase or before it, with :data:`ACCURACIES` of the model at its end.

    Args:
        end: The model.
        split: Of the last of all requests.
        phase: Counted from 1.
        data: What the sets index.

    """
    sets = split.requests[:phase]
    retained = torch.ones(len(data.train), dtype=torch.bool)
    retained[torch.cat(sets)] = False
    touched = data.train.targets.cpu()[~retained].unique().tolist()
    for of, forgotten in enumerate(sets, start=1):
        every = place_accuracies(end.scores, forgotten, retained.nonzero().squeeze(1), touched, end.kind, end.place)
        yield {"phase": phase, "of": of} | {name: getattr(every, name) for name in ACCURACIES}
