"""The part of a plan that measures models: analyses of stages, and of models at the matched doses of paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ungrok.study import jobs
from ungrok.study.jobs.analyze import AnalyzeSpec
from ungrok.study.jobs.learned import LearnedSpec
from ungrok.study.jobs.snapshot import SnapshotSpec
from ungrok.study.plan_paths import PathJobs
from ungrok.study.seeding import Seeds

if TYPE_CHECKING:
    from ungrok.study.plan import Plan
    from ungrok.study.plan_requests import Request


@dataclass(frozen=True)
class Measurement:
    """One analysis of one model: of a stage, or at the matched dose of a path.

    Args:
        seed: A seed of the recipe.
        arm: The arm.
        stage: The stage, or that from which the path starts.
        forget: Label of the forget split.
        method: Label of the path's method; empty for the model of the stage.
        analysis: Label of the analysis.
        model: Key of the job that keeps the model.
        rows: Key of the job that measures it.

    """

    seed: int
    arm: str
    stage: str
    forget: str
    method: str
    analysis: str
    model: str
    rows: str


def add_measurements(plan: Plan) -> None:
    """Add the analyses of every stage from which a path starts, and of the models at the matched doses of its paths."""
    seen: set[tuple[int, str, str, str]] = set()
    named = set(plan.recipe.unlearn_labels())
    for path in plan.paths:
        if path.method not in named:  # a rate of a search: its path ends at the target, not at the matched dose
            continue
        at = (path.seed, path.arm, path.stage, path.forget)
        stage = plan.stages[path.arm, path.seed, path.stage]
        oracle = plan.oracles.get((path.arm, path.seed, path.forget, path.stage))
        beside = {"oracle": oracle} if oracle else {}
        if at not in seen:
            _add_analyses(plan, path, "", stage, beside | _earlier(plan, path))
            seen.add(at)
        if path.stage in plan.recipe.stages_of(path.arm) and any(analysis.after for analysis in plan.recipe.analyze):
            _add_analyses(plan, path, path.method, _add_snapshot(plan, path), beside | {"before": stage})


def _add_snapshot(plan: Plan, path: PathJobs) -> str:
    walked, claims = plan.job(path.path, jobs.Unlearn), plan.recipe.claims
    spec = SnapshotSpec(
        unlearn=walked.spec.unlearn,
        forget=walked.spec.forget,
        seed=walked.spec.seed,
        batches=walked.spec.batches,
        speed=walked.spec.speed,
        objective=walked.spec.objective,
        dose=claims.dose,
        strength=claims.strength,
    )
    return plan.add(jobs.Snapshot(spec, walked.inputs, f"{path.method} from {path.stage}, seed {path.seed}"))


def _add_analyses(plan: Plan, path: PathJobs, method: str, model: str, references: dict[str, str]) -> None:
    """Add the analyses of one model; ``method`` is empty before unlearning."""
    walked, seed = plan.job(path.path, jobs.Unlearn), Seeds(path.seed).analysis
    split = {role: key for role, key in walked.inputs.items() if role == "split"}
    for analysis in plan.recipe.analyze:
        if method and not analysis.after:
            continue
        spec = AnalyzeSpec(analyze=analysis, forget=walked.spec.forget, seed=seed, objective=walked.spec.objective)
        inputs = {"model": model} | (references if analysis.compares else {}) | split
        after = f"after {method} " if method else ""
        text = f"{analysis.label} {after}at {path.stage}, {path.arm}, seed {path.seed}"
        rows = plan.add(jobs.Analyze(spec, inputs, text))
        place = (path.seed, path.arm, path.stage, path.forget, method)
        plan.measurements.append(Measurement(*place, analysis.label, model, rows))


def _earlier(plan: Plan, path: PathJobs) -> dict[str, str]:
    """Return the stages that come before a path's in its arm, by name: models to compare with."""
    stages = plan.recipe.stages_of(path.arm)
    before = stages[: stages.index(path.stage)] if path.stage in stages else stages[:1]
    return {stage: plan.stages[path.arm, path.seed, stage] for stage in before}


def add_learned(plan: Plan, request: Request) -> None:
    """Add the job that reads when the examples of a split were shown and learned."""
    arm, seed, label = request.arm.name, request.seed, request.rule.label
    spec = LearnedSpec(forget=request.forget, **plan.recipe.claims.learned.to_dict())
    job = jobs.WhenLearned(
        spec, {"trajectory": plan.trajectories[arm, seed]}, f"when learned, {label}, {arm}, seed {seed}"
    )
    plan.learned[arm, seed, label, request.draw] = plan.add(job)
