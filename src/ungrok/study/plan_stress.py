"""The part of a plan that asks whether forgetting lasts: attacks after unlearning, and the first place of a path that lasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ungrok.methods import Iterative
from ungrok.study import jobs
from ungrok.study.jobs.lasting import LastingSpec, Repair
from ungrok.study.jobs.paths import PathSpec
from ungrok.study.jobs.placed import PlacedSpec
from ungrok.study.jobs.stress import StressSpec
from ungrok.study.plan_paths import PathJobs
from ungrok.study.rates import at_rates
from ungrok.study.recipe_stress import lasting_target, where_label
from ungrok.study.seeding import Seeds

if TYPE_CHECKING:
    from ungrok.study.plan import Plan


@dataclass(frozen=True)
class StressJobs:
    """One attack on one model.

    Args:
        seed: A seed of the recipe.
        arm: The arm.
        stage: The stage from which the path starts, or that of the reference.
        forget: Label of the forget split.
        method: Label of the path's method; None for references.
        subject: ``unlearned``, or the reference: ``original``, ``oracle`` or ``oracle_2``.
        place: Name of the place on the path; None for references.
        attack: Label of the attack.
        model: Key of the job that keeps the model.
        rows: Key of the job that attacks it.

    """

    seed: int
    arm: str
    stage: str
    forget: str
    method: str | None
    subject: str
    place: str | None
    attack: str
    model: str
    rows: str


def add_stress(plan: Plan) -> None:
    """Add the attacks on every stage from which a path starts, on its oracles, and on the places of the recipe's paths."""
    recipe, stress = plan.recipe, plan.recipe.stress
    assert stress is not None
    seeds, methods = recipe.seeds[: stress.seeds], stress.methods or recipe.unlearn_labels()
    seen: set[tuple[str, int, str, str]] = set()
    for path in plan.paths:
        if path.seed not in seeds or path.method not in methods or not _of_a_stage(plan, path):
            continue
        where = (path.arm, path.seed, path.forget, path.stage)
        if where not in seen:
            seen.add(where)
            stage = plan.stages[path.arm, path.seed, path.stage]
            references = {"original": stage, "oracle": plan.oracles[where], "oracle_2": plan.noise.get(where)}
            for subject, model in references.items():
                if model is not None:
                    _attack(plan, path, subject, model)
        for place in stress.at(recipe.claims):
            spec = PlacedSpec(**path_settings(plan, path), where=place)
            label = f"{path.method} from {path.stage} at {where_label(place)}, {path.arm}, seed {path.seed}"
            inputs = {**plan.jobs[path.path].inputs, "rows": path.rows}
            _attack(plan, path, "unlearned", plan.add(jobs.Placed(spec, inputs, label)), where_label(place))


def _attack(plan: Plan, path: PathJobs, subject: str, model: str, place: str | None = None) -> None:
    """Add all attacks on one model."""
    stress, walked = plan.recipe.stress, plan.job(path.path, jobs.Unlearn)
    assert stress is not None
    oracle = plan.oracles[path.arm, path.seed, path.forget, path.stage]
    split = {role: key for role, key in walked.inputs.items() if role == "split"}
    method = path.method if subject == "unlearned" else None
    what = f"{path.method} at {place}" if method else subject
    for test in stress.attacks:
        beside = {"oracle": oracle} if "oracle" in test.needs else {}
        spec = StressSpec(
            test=test, forget=walked.spec.forget, seed=Seeds(path.seed).stress, objective=walked.spec.objective,
            speed=plan.recipe.speed.after,
        )  # fmt: skip
        inputs = {"model": model, "original": walked.inputs["stage"], **beside, **split}
        label = f"{test.label} on {what} of {path.stage}, {path.forget}, {path.arm}, seed {path.seed}"
        rows = plan.add(jobs.Stress(spec, inputs, label))
        where = (path.seed, path.arm, path.stage, path.forget)
        plan.stress.append(StressJobs(*where, method, subject, place, test.label, model, rows))


def add_lasting(plan: Plan) -> None:
    """Add the search for the first place that lasts on every path that the recipe names, at its own rate or at all that were tried."""
    recipe, lasting = plan.recipe, plan.recipe.lasting
    assert lasting is not None
    named = lasting.methods or recipe.unlearn_labels()
    repair = Repair(**{name: getattr(lasting, name) for name in Repair.model_fields})
    for path in plan.paths:
        labels = {label for name in named for label in _labels(plan, name, path.forget)}
        if path.method not in labels or not _of_a_stage(plan, path):
            continue
        settings = path_settings(plan, path)
        spec = LastingSpec(
            **settings, target=lasting_target(recipe.claims), observe=recipe.observe, repair=repair,
            repair_speed=recipe.speed.after,
        )  # fmt: skip
        inputs = {**plan.jobs[path.path].inputs, "rows": path.rows}
        label = f"lasting of {path.method} from {path.stage}, {path.forget}, {path.arm}, seed {path.seed}"
        where = (path.seed, path.arm, path.stage, path.forget, path.method)
        plan.lasting.append(PathJobs(*where, path.path, plan.add(jobs.Lasting(spec, inputs, label))))


def path_settings(plan: Plan, path: PathJobs) -> dict[str, Any]:
    """Return what a path of a plan is made of, as the arguments of a spec that has more."""
    walked = plan.job(path.path, jobs.Unlearn).spec
    return {name: getattr(walked, name) for name in PathSpec.model_fields}


def _of_a_stage(plan: Plan, path: PathJobs) -> bool:
    """Return whether a path starts from a stage of its arm, and not from a step that only ``along`` unlearns from."""
    return path.stage in plan.recipe.stages_of(path.arm)


def _labels(plan: Plan, name: str, forget: str) -> list[str]:
    """Return the labels of a method's paths: its own and, where all rates are asked for, those of its search."""
    recipe = plan.recipe
    method = recipe.unlearn[recipe.unlearn_labels().index(name)]
    if recipe.lasting is None or recipe.lasting.rates == "nominal" or name not in recipe.searched():
        return [name]
    assert isinstance(method, Iterative)
    return [each.label for each in at_rates(method, plan.extent(name, forget)).values()]
