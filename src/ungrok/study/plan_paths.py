"""The part of a plan that unlearns: paths, the rates and strengths at which a method is run, and the jobs of each path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ungrok.methods import Iterative, OneShot, Unlearner
from ungrok.study import jobs
from ungrok.study.jobs.blocks import Asked
from ungrok.study.jobs.evaluate import EvaluateSpec
from ungrok.study.jobs.unlearn import UnlearnSpec
from ungrok.study.rates import at_rates, with_strengths
from ungrok.study.recipe_search import search_target
from ungrok.study.seeding import Seeds

if TYPE_CHECKING:
    from ungrok.study.plan import Plan
    from ungrok.study.plan_requests import Request
    from ungrok.study.recipe import Recipe


@dataclass(frozen=True)
class PathJobs:
    """One unlearning path: its place in the study, and the keys of the jobs that walk it (``path``) and that evaluate it (``rows``).

    ``draw`` and ``repeat``, counted from 0, say which draw of the forget split it is of, and which walk of the same path.
    """

    seed: int
    arm: str
    stage: str
    forget: str
    method: str
    path: str
    rows: str
    draw: int = 0
    repeat: int = 0


def asked(recipe: Recipe, seed: int) -> Asked | None:
    """Return what a language model is asked for one seed of a recipe; None where the recipe has no probe."""
    return None if recipe.probe is None else Asked(**recipe.probe.to_dict(), seed=Seeds(seed).probe)


def path_inputs(plan: Plan, request: Request, stage: str, method: Unlearner) -> dict[str, str]:
    """Return the keys of the jobs from which a path of a method is walked, which starts from the model of the job ``stage``.

    The trajectory is among them where the path takes a model of it beside that of the stage: the base model, on language models always,
    and with methods that go back along the training. Of checkpoints that were given no base model of a language model is known.
    """
    inputs = {"stage": stage, **request.split_input}
    based = plan.recipe.problem.family == "language" and not plan.recipe.given
    if based or {"rewound", "base"} & {*method.needs}:
        inputs["trajectory"] = plan.trajectories[request.arm.name, request.seed]
    return inputs


def at_strengths(plan: Plan, method: Unlearner, forget: str) -> Unlearner:
    """Return a method with the strengths that its search has come to; any other method as it is."""
    search = plan.recipe.search
    if search is None or search.settings.get(method.label) != "alpha":
        return method
    assert isinstance(method, OneShot)
    return with_strengths(method, plan.extent(method.label, forget))


def _in_arm(recipe: Recipe, arm: str, method: Unlearner) -> Unlearner:
    """Return a method at the learning rate that it has in an arm."""
    factor = recipe.arms[arm].unlearn_lr if arm in recipe.arms else None
    rate = getattr(method, "lr", None)
    return method if factor is None or rate is None else method.model_copy(update={"lr": factor * rate})


def add_paths(plan: Plan, request: Request, stage: str, method: Unlearner, oracle: str | None, repeat: int = 0) -> None:
    """Add the path of a method from a stage and, where its rate is searched for, those at the other rates of its grid.

    These end at the target of the search, and their ends are not audited. How far the grid goes is decided by the first walks of
    the first draw; all walks of all draws have the same.
    """
    search, forget = plan.recipe.search, request.rule.label
    add_path(plan, request, stage, method, oracle, repeat=repeat)
    if search and search.settings.get(method.label) == "lr":
        assert isinstance(method, Iterative)
        for variant in at_rates(method, plan.extent(method.label, forget)).values():
            if variant is not method:
                add_path(plan, request, stage, variant, oracle, search_target(plan.recipe.claims), repeat)


def path_spec(
    plan: Plan, request: Request, method: Unlearner, seed: int, *, until: float | None = None, questioned: bool = False
) -> UnlearnSpec:
    """Return the spec of a path.

    Args:
        plan: The plan.
        request: What is forgotten.
        method: At its own rate or another.
        seed: Of the path.
        until: Level of UA at which the path ends.
        questioned: Whether the recipe's questions are put to the model at its end.

    """
    recipe = plan.recipe
    return UnlearnSpec(
        unlearn=_in_arm(recipe, request.arm.name, at_strengths(plan, method, request.rule.label)),
        forget=request.forget,
        seed=seed,
        batches=recipe.batches,
        speed=recipe.speed.unlearning,
        observe=recipe.observe,
        objective=request.arm.loss,
        probe=asked(recipe, request.seed) if questioned else None,
        scores=recipe.problem.scores,
        until=until,
    )


def add_path(
    plan: Plan,
    request: Request,
    stage: str,
    method: Unlearner,
    oracle: str | None,
    until: float | None = None,
    repeat: int = 0,
) -> None:
    """Add the jobs of one path; ``until`` is the level of UA at which it ends, ``repeat`` says which walk of the path it is.

    Only the first walk of the first draw of a forget split is asked questions and audited.
    """
    recipe, arm, seed, rule, draw = plan.recipe, request.arm.name, request.seed, request.rule, request.draw
    first = draw == repeat == 0
    label = f"{method.label} from {stage}, {rule.label}, {arm}, seed {seed}"
    label += "" if first else f", draw {draw + 1}, repeat {repeat + 1}"
    spec = path_spec(
        plan, request, method, Seeds(seed).unlearning_of(repeat), until=until, questioned=first and until is None
    )
    path = plan.add(jobs.Unlearn(spec, path_inputs(plan, request, plan.stages[arm, seed, stage], spec.unlearn), label))
    inputs = {"path": path} | ({"oracle": oracle} if oracle else {})
    scored = EvaluateSpec(targets=recipe.claims.targets, audit=first and until is None)
    rows = plan.add(jobs.Evaluate(scored, inputs, f"scores of {label}"))
    every = plan.paths if first else plan.replicates
    every.append(PathJobs(seed, arm, stage, rule.label, method.label, path, rows, draw, repeat))
