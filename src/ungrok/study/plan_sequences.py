"""The part of a plan that unlearns several requests one after another, each from the model that the one before left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ungrok.methods import Unlearner
from ungrok.study import jobs
from ungrok.study.jobs.evaluate import EvaluateSpec
from ungrok.study.jobs.paths import PathSpec
from ungrok.study.jobs.phase import PhaseSpec, Target
from ungrok.study.jobs.sequence import SequenceSpec
from ungrok.study.jobs.unlearn import UnlearnSpec
from ungrok.study.plan_paths import PathJobs, path_inputs, path_spec
from ungrok.study.seeding import Seeds

if TYPE_CHECKING:
    from ungrok.study.plan import Plan, Request

UNLEARNED, ORACLE, SECOND_ORACLE = "unlearned", "oracle", "oracle_2"
"""Whose rows a sequence holds: a model that a method left, one retrained without all that was forgotten, another one."""

RETRAINED = "retrain from scratch"
"""The method of the rows of oracles."""


@dataclass(frozen=True)
class SequenceJobs:
    """One sequence of requests: its place in the study, and the key of the job that reads it (``rows``)."""

    seed: int
    arm: str
    stage: str
    forget: str
    method: str
    subject: str
    rows: str


def add_sequences(
    plan: Plan, requests: Sequence[Request], stage: str, oracles: Mapping[str, Sequence[str]], firsts: dict[str, PathJobs]
) -> None:
    """Add the sequences of every method from one stage, and those of the oracles.

    Args:
        plan: The plan.
        requests: Of one arm, seed and rule, in their order.
        stage: The stage from which they start.
        oracles: By subject, the key of the oracle of each request.
        firsts: By label, the path of each method on the first request.

    """
    for subject, keys in oracles.items():
        inputs = {f"oracle_{phase}": key for phase, key in enumerate(keys, start=1)}
        _add_rows(plan, requests[-1], stage, RETRAINED, subject, None, inputs)
    for method in plan.recipe.unlearn:
        target = target_of(plan, method)
        inputs = _add_phases(plan, requests, method, target, oracles[ORACLE], firsts[method.label])
        _add_rows(plan, requests[-1], stage, method.label, UNLEARNED, target, inputs)


def target_of(plan: Plan, method: Unlearner) -> Target:
    """Return the level of UA at which the phases of a method end; None for methods that stop by themselves or start anew."""
    return None if method.self_stopping or method.from_scratch else plan.recipe.claims.main_target


def _add_rows(
    plan: Plan, last: Request, stage: str, method: str, subject: str, target: Target, inputs: dict[str, str]
) -> None:
    arm, seed, split = last.arm.name, last.seed, last.split_input
    spec = SequenceSpec(forget=None if split else last.forget, phases=last.phase, target=target)
    inputs = {"stage": plan.stages[arm, seed, stage]} | split | inputs
    label = f"requests of {subject}, {method} from {stage}, {last.rule.label}, {arm}, seed {seed}"
    rows = plan.add(jobs.RequestSequence(spec, inputs, label))
    plan.sequences.append(SequenceJobs(seed, arm, stage, last.rule.label, method, subject, rows))


def _add_phases(
    plan: Plan,
    requests: Sequence[Request],
    method: Unlearner,
    target: Target,
    oracles: Sequence[str],
    first: PathJobs,
) -> dict[str, str]:
    """Add the path of every request but the first, and return the inputs of the job that reads the sequence."""
    path, rows = first.path, first.rows
    inputs = {"path_1": path, "rows_1": rows}
    for request, oracle in zip(requests[1:], oracles[1:], strict=True):
        before = plan.job(path, jobs.Unlearn)
        ended = PhaseSpec(**_made_of(before.spec), target=target)
        label = f"{method.label} from {first.stage}, {first.forget}, {first.arm}, seed {first.seed}"
        left = plan.add(
            jobs.Phase(ended, before.inputs | {"rows": rows}, f"end of phase {request.phase - 1} of {label}")
        )
        spec = path_spec(
            plan,
            request,
            method,
            Seeds(request.seed).unlearning_in(request.phase),
            until=None if isinstance(target, str) else target,
        )
        label += f", phase {request.phase}"
        path = plan.add(jobs.Unlearn(spec, path_inputs(plan, request, left), label))
        scored = EvaluateSpec(targets=[] if target is None else [target], audit=False)
        rows = plan.add(jobs.Evaluate(scored, {"path": path, "oracle": oracle}, f"scores of {label}"))
        inputs |= {f"path_{request.phase}": path, f"rows_{request.phase}": rows}
    return inputs


def _made_of(spec: UnlearnSpec) -> dict[str, object]:
    """Return what a path is made of, without where it is observed and what is asked at its end."""
    return {name: getattr(spec, name) for name in PathSpec.model_fields}
