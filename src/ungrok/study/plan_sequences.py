"""The part of a plan that unlearns several requests one after another, each from the model that the one before left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ungrok.methods import Unlearner
from ungrok.study import jobs
from ungrok.study.jobs.evaluate import EvaluateSpec
from ungrok.study.jobs.placed import PlacedSpec
from ungrok.study.jobs.sequence import SequenceSpec
from ungrok.study.plan_paths import PathJobs, path_inputs, path_spec
from ungrok.study.plan_stress import path_settings
from ungrok.study.seeding import Seeds

if TYPE_CHECKING:
    from ungrok.study.plan import Plan
    from ungrok.study.plan_requests import Request

UNLEARNED, ORACLE, SECOND_ORACLE = "unlearned", "oracle", "oracle_2"
"""Whose rows a sequence holds: a model that a method left, one retrained without all that was forgotten, another one."""

RETRAINED = "retrain from scratch"
"""The method of the rows of oracles."""


Where = float | Literal["oracle", "end"]
"""Where a phase ends: at a target of UA, or at the end of its path."""


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
    plan: Plan,
    requests: Sequence[Request],
    stage: str,
    oracles: Mapping[str, Sequence[str]],
    firsts: Mapping[str, PathJobs],
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
        _add_rows(plan, requests[-1], stage, RETRAINED, subject, "end", inputs)
    for method in plan.recipe.unlearn:
        where, phases = end_of(plan, method), [firsts[method.label]]
        for request, oracle in zip(requests[1:], oracles[ORACLE][1:], strict=True):
            phases.append(_after(plan, phases[-1], request, method, where, oracle))
        paths = {f"path_{number}": phase.path for number, phase in enumerate(phases, start=1)}
        rows = {f"rows_{number}": phase.rows for number, phase in enumerate(phases, start=1)}
        _add_rows(plan, requests[-1], stage, method.label, UNLEARNED, where, paths | rows)


def end_of(plan: Plan, method: Unlearner) -> Where:
    """Return where the phases of a method end: at the headline's target or, where it stops by itself or starts anew, at its end."""
    return "end" if method.self_stopping or method.from_scratch else plan.recipe.claims.main_target


def _add_rows(
    plan: Plan, last: Request, stage: str, method: str, subject: str, where: Where, inputs: dict[str, str]
) -> None:
    """Add the job that reads a sequence."""
    arm, seed, split = last.arm.name, last.seed, last.split_input
    spec = SequenceSpec(forget=None if split else last.forget, phases=last.phase, where=where)
    label = f"requests of {method} ({subject}) from {stage}, {last.rule.label}, {arm}, seed {seed}"
    sources = {"stage": plan.stages[arm, seed, stage]} | split | inputs
    rows = plan.add(jobs.RequestSequence(spec, sources, label))
    plan.sequences.append(SequenceJobs(seed, arm, stage, last.rule.label, method, subject, rows))


def _after(plan: Plan, before: PathJobs, request: Request, method: Unlearner, where: Where, oracle: str) -> PathJobs:
    """Add the path of a request, which starts where the phase before it ends, and return it."""
    label = f"{before.method} from {before.stage}, {before.forget}, {before.arm}, seed {before.seed}"
    kept = PlacedSpec(**path_settings(plan, before), where=where, or_end=where != "end")
    sources = {**plan.jobs[before.path].inputs, "rows": before.rows}
    left = plan.add(jobs.Placed(kept, sources, f"end of phase {request.phase - 1} of {label}"))
    label += f", phase {request.phase}"
    seed, until = Seeds(request.seed).unlearning_in(request.phase), None if isinstance(where, str) else where
    spec = path_spec(plan, request, method, seed, until=until)
    path = plan.add(jobs.Unlearn(spec, path_inputs(plan, request, left, spec.unlearn), label))
    scored = EvaluateSpec(targets=[] if where == "end" else [where], audit=False)
    rows = plan.add(jobs.Evaluate(scored, {"path": path, "oracle": oracle}, f"scores of {label}"))
    return replace(before, path=path, rows=rows)
