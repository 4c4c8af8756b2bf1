"""The part of a plan that trains shadow models, and unlearns from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ungrok.audits.shadows import holds
from ungrok.core.errors import RecipeError
from ungrok.methods import Unlearner
from ungrok.study import jobs
from ungrok.study.draws import seen_by
from ungrok.study.fulfilled import judged_at_end
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.held import Held
from ungrok.study.jobs.shadow import NEVER, ShadowSpec, ShadowUnlearnedSpec
from ungrok.study.jobs.shadow_split import ShadowSplitSpec
from ungrok.study.plan_stages import add_reached
from ungrok.study.recipe_audit import audited_rules, audited_stages
from ungrok.study.recipe_blocks import BASE
from ungrok.study.seeding import Seeds

if TYPE_CHECKING:
    from ungrok.study.plan import Plan
    from ungrok.study.plan_requests import Request
    from ungrok.study.recipe import Recipe


@dataclass(frozen=True)
class ShadowJobs:
    """The logits of one shadow model.

    Args:
        shadow: Counted from 0.
        stage: The stage.
        forget: Label of the forget set that it unlearned; None at the stage itself.
        method: Label of the method by which it did.
        training: Key of the training.
        model: Key of the job that keeps the model at the stage.
        logits: Key of the job that keeps the logits.

    """

    shadow: int
    stage: str
    forget: str | None
    method: str | None
    training: str
    model: str
    logits: str


def shadow_seeds(recipe: Recipe) -> Seeds:
    """Return the seeds from which all shadows of a study are drawn: those of the first seed, whose data they share."""
    return Seeds(recipe.seeds[0])


def held_of(recipe: Recipe, shadow: int) -> Held:
    """Return what a shadow model is trained on."""
    seeds = shadow_seeds(recipe)
    sets = [Forget(rule=rule, seed=seeds.forget) for rule in audited_rules(recipe)]
    return Held(shadow=shadow, seed=seeds.shadows, size=recipe.problem.pool()[1], forget=sets)


def check_pool(recipe: Recipe) -> None:
    """Raise RecipeError where the source has no pool of twice the training examples, or the forget sets cannot be drawn from it."""
    if recipe.audit is None:
        return
    problem, size = seen_by(recipe, recipe.problem, recipe.seeds[0]).pool()
    try:
        pool = problem.load()
    except RecipeError as error:
        raise RecipeError(
            f"audit: shadow models draw from a pool of {2 * size} training examples, twice the recipe's {size} ({error})"
        ) from None
    every = [held_of(recipe, shadow) for shadow in range(recipe.audit.shadows)]
    for held in {tuple(holds(one.shadow, len(one.forget), one.seed)): one for one in every}.values():
        held.examples(pool)


def add_shadows(plan: Plan) -> None:
    """Add the training of every shadow model, its logits at every stage and, from there, after unlearning each set that it holds."""
    recipe = plan.recipe
    assert recipe.audit is not None
    own, seeds = plan.arms[BASE], shadow_seeds(recipe)
    pool = seen_by(recipe, own.problem, recipe.seeds[0]).pool()[0]
    labels = recipe.audit.unlearn or recipe.unlearn_labels()
    methods = [method for method in recipe.unlearn if method.label in labels]
    for shadow in range(recipe.audit.shadows):
        held = held_of(recipe, shadow)
        spec = replace(own, problem=pool).spec(seeds.shadow_of(shadow))
        # Some of them hold nothing of a class, and are measured as oracles are.
        spec = spec.model_copy(update={"held": held, "measured": "classes left"})
        training = plan.add(jobs.Train(spec, {}, f"shadow {shadow}"))
        for stage in audited_stages(recipe):
            label = f"{stage}, shadow {shadow}"
            model = add_reached(plan, training, stage, label)
            where = ShadowJobs(shadow, stage, None, None, training, model, "")
            logits = plan.add(jobs.Shadow(ShadowSpec(), {"stage": model}, f"logits of {label}"))
            plan.shadows.append(replace(where, logits=logits))
    for where in [own for own in plan.shadows if own.method is None]:
        for method in methods:
            _add_unlearned(plan, where, method)


def add_shadow_split(plan: Plan, request: Request) -> str:
    """Add the job that chooses what to forget by the shadow models at the last stage that is audited."""
    recipe = plan.recipe
    problem, stage = seen_by(recipe, plan.arms[BASE].problem, recipe.seeds[0]), audited_stages(recipe)[-1]
    spec = ShadowSplitSpec(forget=request.forget, problem=problem, pool=problem.pool()[0], held=held_of(recipe, 0))
    inputs = {str(own.shadow): own.logits for own in plan.shadows if own.stage == stage and own.method is None}
    return plan.add(jobs.ShadowSplit(spec, inputs, f"split {request.rule.label}, seed {request.seed}"))


def _add_unlearned(plan: Plan, where: ShadowJobs, method: Unlearner) -> None:
    recipe, seeds, held = plan.recipe, shadow_seeds(plan.recipe), held_of(plan.recipe, where.shadow)
    assert recipe.audit is not None
    earlier, to_end = {"rewound", "base"} & {*method.needs}, judged_at_end(method)
    inputs = {"stage": where.model} | ({"trajectory": where.training} if earlier else {})
    rules = zip(audited_rules(recipe), held.forget, holds(where.shadow, len(held.forget), held.seed), strict=True)
    for place, (rule, block, inside) in enumerate(rules):
        if inside:
            spec = ShadowUnlearnedSpec(
                unlearn=method,
                forget=block,
                seed=seeds.shadow_unlearning_of(where.shadow),
                batches=recipe.batches,
                speed=recipe.speed.unlearning,
                dose=1.0 if to_end else recipe.claims.dose,
                strength=recipe.claims.strength,
            )
            label = f"{method.label} from {where.stage}, {rule.label}, shadow {where.shadow}"
            never = {} if to_end else _never(plan, where.stage, place)
            logits = plan.add(jobs.ShadowUnlearned(spec, inputs | never, label))
            plan.shadows.append(replace(where, forget=rule.label, method=method.label, logits=logits))


def _never(plan: Plan, stage: str, place: int) -> dict[str, str]:
    """Return the inputs by which a path knows where to stop: the logits of all shadows that never saw a set; empty for the matched dose."""
    recipe = plan.recipe
    if recipe.audit is None or recipe.audit.place == "dose":
        return {}
    sets, seed = len(audited_rules(recipe)), shadow_seeds(recipe).shadows
    here = [own for own in plan.shadows if own.stage == stage and own.method is None]
    return {f"{NEVER}{own.shadow}": own.logits for own in here if not holds(own.shadow, sets, seed)[place]}
