"""The block ``audit`` of a recipe: shadow models, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from ungrok.core.errors import NotApplicable, shown
from ungrok.core.schema import Schema
from ungrok.data.forget import ForgetRule
from ungrok.study.recipe_blocks import BASE, Level, Pair
from ungrok.train.stages import STAGES, stage_name, step_of

if TYPE_CHECKING:
    from ungrok.study.recipe import Recipe

Measure = Literal["ulira", "rmia", "klom", "neurips"]


class ShadowAudit(Schema):
    """Audits of many models: shadow models trained on random halves of a pool, and those of them that unlearned."""

    shadows: int = Field(
        64, ge=8, multiple_of=2, description="models that are trained; half of them hold each forget set"
    )
    stages: list[str | int] | None = Field(
        None, min_length=1, description="stages of the recipe; all but matched and rescaled ones when null"
    )
    unlearn: list[str] | None = Field(None, min_length=1, description="labels of methods; all when null")
    forget: list[str] | None = Field(None, min_length=1, description="labels of forget splits; all when null")
    place: Literal["oracle", "dose"] = Field(
        "oracle",
        description="where unlearning stops: at the first update with UA at or below that of the shadows that never saw the set, or at the matched dose; methods that stop by themselves or start from fresh weights are always judged at the end",
    )
    measures: list[Measure] = Field(["ulira", "rmia", "klom", "neurips"], min_length=1)
    memorization: bool = Field(False, description="whether the memorization of every example of the pool is told")
    entanglement: bool = Field(False, description="whether the entanglement of every forget set is told")

    @field_validator("measures")
    @classmethod
    def _distinct(cls, value: list[Measure]) -> list[Measure]:
        return list(dict.fromkeys(value))


def audited_stages(recipe: Recipe) -> list[str]:
    """Return the names of the stages whose models are audited."""
    own = recipe.audit.stages if recipe.audit else None
    return [stage_name(stage) for stage in own] if own else [s for s in recipe.stages_of(BASE) if _reached(recipe, s)]


def audited_rules(recipe: Recipe) -> list[ForgetRule]:
    """Return the forget rules that are asked about, in the order in which their sets are drawn: those first that may hold whole classes."""
    own = recipe.audit.forget if recipe.audit else None
    asked = [rule for rule in recipe.forget if (not rule.from_shadows if own is None else rule.label in own)]
    return sorted(asked, key=lambda rule: not rule.empties_classes)


def audit_references(recipe: Recipe) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the names that the block uses: the key, the name, and those that are allowed there."""
    if recipe.audit is None:
        return
    for stage in recipe.audit.stages or []:
        yield "audit.stages", stage_name(stage), recipe.stages_of(BASE)
    for key in ("unlearn", "forget"):
        labels = recipe.unlearn_labels() if key == "unlearn" else recipe.forget_labels()
        for label in getattr(recipe.audit, key) or []:
            yield f"audit.{key}", label, labels


def check_audit(recipe: Recipe) -> None:
    """Raise ValueError where the block does not fit the rest of the recipe."""
    ranked = [rule for rule in recipe.forget if rule.from_shadows]
    for rule in ranked:
        _check_ranked(recipe, rule)
    if recipe.audit is None:
        return
    problem, kind = recipe.problem, recipe.problem.kind
    if problem.family != "classifier":
        raise ValueError(f"audit: is for classifiers; those of problem {kind!r} are {problem.family} models")
    for key, there in (
        ("trajectory.exposure", recipe.trajectory.exposure),
        ("given", recipe.given),
        ("base", recipe.base),
    ):
        if there:
            raise ValueError(f"audit: does not go with {key}; leave one of them out")
    try:
        problem.pool()
    except NotApplicable as error:
        raise ValueError(f"audit: draws from a pool of twice the training examples: {error}") from None
    for stage in audited_stages(recipe):
        if not _reached(recipe, stage):
            raise ValueError(
                f"audit.stages: {shown(stage)} is no stage that each shadow reaches by itself; allowed: named stages, steps and levels"
            )
    if not audited_stages(recipe):
        raise ValueError("audit.stages: the recipe has matched and rescaled stages only; name others in stages")
    for rule in audited_rules(recipe):
        if rule.from_trajectory:
            raise ValueError(
                f"audit.forget: {shown(rule.label)} depends on how training went, and each shadow trains otherwise; name others"
            )


def _check_ranked(recipe: Recipe, rule: ForgetRule) -> None:
    """Raise ValueError where a rule is read from shadow models that have not seen just these data."""
    if recipe.audit is None:
        raise ValueError(f"forget: {shown(rule.label)} is read from shadow models; give the recipe a block audit")
    if recipe.data_seed is not None:
        raise ValueError(f"forget: {shown(rule.label)} needs the same data for all seeds; leave it or data_seed out")
    if recipe.problem.label_noise:
        raise ValueError(
            f"forget: {shown(rule.label)} needs the same labels in the pool: problem.label_noise draws others there; leave one of the two out"
        )
    for arm in recipe.arms:
        if rule in recipe.forget_of(arm) and recipe.for_arm(arm)[0] != recipe.problem:
            raise ValueError(
                f"forget: {shown(rule.label)} is not of the data of arm {shown(arm)}; give the arm other forget splits"
            )


def _reached(recipe: Recipe, stage: str) -> bool:
    """Return whether a stage is found along any one trajectory."""
    return stage in STAGES or step_of(stage) is not None or isinstance(recipe.controls.get(stage), Level)


def privacy_pairs(recipe: Recipe) -> list[Pair]:
    """Return the comparisons of audited stages, the earlier side first: those whose privacy is compared."""
    if recipe.audit is None or "ulira" not in recipe.audit.measures:
        return []
    audited = audited_stages(recipe)
    return [
        pair
        for pair in recipe.claims.compare
        if all(side.arm == BASE and not side.forget and stage_name(side.stage) in audited for side in pair)
    ]


def family_alpha(recipe: Recipe) -> float:
    """Return what the headline family may spend of alpha: half of it where privacy is judged, too, which spends the other half."""
    return recipe.claims.alpha / 2 if privacy_pairs(recipe) else recipe.claims.alpha
