"""Recipes: what a study does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from ungrok.analyze import ANALYSES, Analysis
from ungrok.core.errors import RecipeError, listed, nearest, shown
from ungrok.core.plain import check_name
from ungrok.core.schema import Schema, digest, explain
from ungrok.data.base import PROBLEMS, Problem
from ungrok.data.forget import FORGET_RULES, ForgetRule
from ungrok.methods import UNLEARNERS, Unlearner
from ungrok.models.base import MODELS, Model
from ungrok.study.draws import check_draws
from ungrok.study.grids import with_grids
from ungrok.study.levels import with_levels
from ungrok.study.rates import rated
from ungrok.study.recipe_audit import ShadowAudit, audit_references, check_audit
from ungrok.study.recipe_blocks import (
    BASE,
    Along,
    Arm,
    BatchSizes,
    Claims,
    Control,
    Level,
    Matched,
    Observation,
    Probe,
    Rescaled,
)
from ungrok.study.recipe_given import GivenRun, check_given
from ungrok.study.recipe_schemes import AnyScheme, check_schemes
from ungrok.study.recipe_search import Search, check_search, with_search
from ungrok.study.recipe_stress import Lasting, Stress, check_stress, references, with_attacks
from ungrok.study.units import check_exposure
from ungrok.train.loop import Training
from ungrok.train.speed import UnlearningSpeed
from ungrok.train.stages import STAGES, check_stage, stage_name, step_of
from ungrok.train.transition import TransitionRule

if TYPE_CHECKING:
    AnyAnalysis = Analysis
    AnyProblem = Problem
    AnyModel = Model
    AnyForgetRule = ForgetRule
    AnyUnlearner = Unlearner
else:
    AnyProblem, AnyModel = PROBLEMS.union(), MODELS.union()
    AnyForgetRule, AnyUnlearner = FORGET_RULES.union(), UNLEARNERS.union()
    AnyAnalysis = ANALYSES.union()

V = TypeVar("V", bound=Schema)

RENAMED = {"sweep": "along"}
"""Former names of keys, which are still understood, and their present names."""

RESERVED = ("model", "oracle", "before", "reference", "split")
"""Names a control may not take: analyses use them for their inputs."""


class Recipe(Schema):
    """Everything that a study does."""

    optional: ClassVar[frozenset[str]] = frozenset(
        {
            "analyze",
            "controls",
            "schemes",
            "search",
            "speed",
            "data_seed",
            "forget_draws",
            "requests",
            "unlearn_seeds",
            "stress",
            "lasting",
            "given",
            "audit",
        }
    )

    name: str = Field(pattern=r"^\w[\w./-]*$")
    seeds: list[Annotated[int, Field(ge=-(2**63), lt=2**63)]] = Field(min_length=1)
    problem: AnyProblem
    data_seed: Literal["per_seed"] | None = Field(
        None,
        description="per_seed: each seed draws its own training, validation and test data; the same for all when null",
    )
    model: AnyModel
    trajectory: Training = Training()
    base: Training | None = Field(
        None, description="training of the model that trajectories start from, on the base data"
    )
    arms: dict[str, Arm] = {}
    transition: TransitionRule = TransitionRule()
    controls: dict[str, Control] = Field({}, description="further stages, by name: by level, matched, rescaled")
    stages: list[str | int] = Field(
        ["pre_grok", "grokked"], min_length=1, description="names, steps, or {kind: level, of, at, name, sustained}"
    )
    forget: list[AnyForgetRule] = Field(min_length=1)
    forget_draws: int = Field(
        1, ge=1, description="times that each seed draws each forget split, with an oracle of each"
    )
    requests: int = Field(
        1, ge=1, description="forget sets of each split, without common examples, that are unlearned one after another"
    )
    unlearn: list[AnyUnlearner] = Field(min_length=1)
    unlearn_seeds: int = Field(1, ge=1, description="times that each path is walked, with other batches and noise")
    search: Search | None = Field(
        None, description="rates and strengths that the study finds; lr: auto is short for it"
    )
    schemes: list[AnyScheme] = Field([], description="schemes that prepare for deletion during training")
    analyze: list[AnyAnalysis] = Field([], description="measures at every stage, and at the matched dose of every path")
    batches: BatchSizes = BatchSizes()
    speed: UnlearningSpeed = Field(UnlearningSpeed(), description="how the passes of unlearning are computed")
    observe: Observation = Observation()
    noise_seeds: int = Field(
        1, ge=0, description="number of seeds with a second oracle per forget split, which gives the noise floor"
    )
    along: Along | None = Field(None, description="unlearning from many checkpoints along the trajectory")
    probe: Probe | None = Field(None, description="language models only: generations, truth ratios, attacks")
    stress: Stress | None = Field(None, description="attacks after unlearning: is it forgotten, or hidden?")
    lasting: Lasting | None = Field(None, description="how far unlearning must go for its forgetting to last")
    audit: ShadowAudit | None = Field(
        None, description="shadow models: do many unlearned models look like retrained ones?"
    )
    claims: Claims = Claims()
    given: list[GivenRun] | None = Field(None, description="one entry per seed; ungrok.sweep writes it")
    device: Literal["auto", "cpu", "cuda"] = "cpu"

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, value: Any) -> Any:
        return with_attacks(with_grids(with_levels(with_search(renamed(value))))) if isinstance(value, dict) else value

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: list[int]) -> list[int]:
        repeated = sorted(seed for seed, count in Counter(value).items() if count > 1)
        if repeated:
            raise ValueError(f"{shown(repeated)} are listed more than once; seeds must be distinct")
        return value

    @field_validator("stages")
    @classmethod
    def _stages(cls, value: list[str | int]) -> list[str | int]:
        names = [stage_name(stage) for stage in value]
        return list(dict.fromkeys(names))

    @field_validator("unlearn", mode="before")
    @classmethod
    def _grids(cls, value: Any) -> Any:
        return [entry for item in value for entry in _expand_lr(item)] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _names(self) -> Recipe:
        known = {"forget": self.forget_labels(), "unlearn": self.unlearn_labels(), "analyze": self.analyze_labels()}
        for key, names in {"name": [self.name], **known, "arms": [*self.arms], "controls": [*self.controls]}.items():
            for name in names:
                check_name(name, key)
        for key, labels in known.items():
            repeated = [label for label, count in Counter(labels).items() if count > 1]
            if repeated:
                raise ValueError(f"{key}: two entries are called {shown(min(repeated))}; give one a name")
        check_search(self)
        check_draws(self)
        check_stress(self)
        check_given(self)
        check_schemes(self)
        if BASE in self.arms:
            raise ValueError(f"arms: {BASE!r} is the recipe itself; give the arm another name")
        arms = [BASE, *self.arms]
        check_exposure(self)
        self._check_stages(arms)
        for key, name, allowed in self._references(arms):
            if name not in allowed:
                raise ValueError(
                    f"{key}: {shown(name)} is not in this recipe; allowed: {listed(allowed)}{nearest(name, allowed)}"
                )
        check_audit(self)
        for arm, changes in self.arms.items():
            if changes.unlearn_lr and self.search:
                raise ValueError(f"arms.{arm}.unlearn_lr: {changes.unlearn_lr:g} does not go with a search for rates")
        if self.observe.drawn and self.requests > 1:
            raise ValueError(f"observe.drawn: does not go with requests: {self.requests}; leave one of them out")
        for arm in arms:
            training = self.for_arm(arm)[2]
            if self.transition.signal == "adversarial" and training.robustness is None:
                raise ValueError(
                    f"transition.signal: 'adversarial' needs trajectory.robustness; arm {shown(arm)} has none"
                )
        return self

    def _check_stages(self, arms: list[str]) -> None:
        levels = [name for name, control in self.controls.items() if isinstance(control, Level)]
        matched = [name for name, control in self.controls.items() if isinstance(control, Matched)]
        for name, control in self.controls.items():
            if name in STAGES or step_of(name) is not None:
                raise ValueError(f"controls: {shown(name)} is a stage already; give the control another name")
            if name in RESERVED:
                raise ValueError(
                    f"controls: {shown(name)} is a name that analyses use for their inputs; give the control another"
                )
            if isinstance(control, Level):
                continue
            # A rescaled model may be that of a matched checkpoint; nothing else may follow from a control but a level.
            allowed = [*levels, *(matched if isinstance(control, Rescaled) else [])]
            for arm in arms:
                if isinstance(control, Matched) and name in self.stages_of(arm):
                    self._check_seeds(name, control.arm, arm)
            check_stage(stage_name(control.stage), allowed, f"controls.{name}.stage")
        for arm in arms:
            for stage in self.stages_of(arm):
                key = "stages" if arm == BASE else f"arms.{arm}.stages"
                check_stage(stage, self.controls, key)
                steps = self.for_arm(arm)[2].steps
                if (step_of(stage) or 0) > steps:
                    raise ValueError(f"{key}: {shown(stage)} lies beyond the last of {steps} steps")

    def _check_seeds(self, name: str, matched: str, arm: str) -> None:
        """Raise ValueError where an arm has seeds that the arm to which its checkpoint is matched lacks."""
        if matched in (BASE, *self.arms) and len(self.seeds_of(matched)) < len(self.seeds_of(arm)):
            raise ValueError(
                f"controls.{name}.arm: {shown(matched)} has fewer seeds than arm {shown(arm)}, whose stage this is"
            )

    def _references(self, arms: list[str]) -> Iterable[tuple[str, str, list[str]]]:
        for side in (side for pair in self.claims.compare for side in pair):
            yield "claims.compare arm", side.arm, arms
            yield "claims.compare stage", stage_name(side.stage), self.stages_of(side.arm)
            if side.forget:
                yield "claims.compare forget", side.forget, self.forget_labels(side.arm)
        for label in self.claims.headline.forget or []:
            yield "claims.headline.forget", label, self.forget_labels()
        for arm, changes in self.arms.items():
            for label in changes.forget or ():
                yield f"arms.{arm}.forget", label, self.forget_labels()
        for name, control in self.controls.items():
            if isinstance(control, Matched):
                yield f"controls.{name}.arm", control.arm, arms
        if self.along:
            yield "along.unlearn", self.along.unlearn, self.unlearn_labels()
            yield "along.forget", self.along.forget, self.forget_labels()
        yield from references(self)
        yield from audit_references(self)

    def stages_of(self, arm: str) -> list[str]:
        """Return the names of an arm's stages."""
        own = self.arms[arm].stages if arm != BASE else None
        return list(dict.fromkeys(map(stage_name, self.stages if own is None else own)))

    def seeds_of(self, arm: str) -> list[int]:
        """Return the seeds that an arm has."""
        return self.seeds if arm == BASE else self.seeds[: self.arms[arm].seeds]

    def forget_of(self, arm: str) -> list[ForgetRule]:
        """Return the forget splits of an arm."""
        own = self.arms[arm].forget if arm != BASE else None
        return [rule for rule in self.forget if own is None or rule.label in own]

    def all_stages(self) -> list[str]:
        """Return the names of all arms' stages, the recipe's own first."""
        return list(dict.fromkeys(stage for arm in (BASE, *self.arms) for stage in self.stages_of(arm)))

    def forget_labels(self, arm: str = BASE) -> list[str]:
        """Return the labels of the forget splits of an arm; the base arm has all."""
        return [rule.label for rule in self.forget_of(arm)]

    def unlearn_labels(self) -> list[str]:
        """Return the labels of the methods."""
        return [method.label for method in self.unlearn]

    def searched(self) -> frozenset[str]:
        """Return the labels of the methods whose learning rate is searched for."""
        settings = self.search.settings if self.search else {}
        return frozenset(label for label, setting in settings.items() if setting == "lr")

    def analyze_labels(self) -> list[str]:
        """Return the labels of the analyses."""
        return [analysis.label for analysis in self.analyze]

    def for_arm(self, arm: str) -> tuple[Problem, Model, Training]:
        """Return problem, model and training of an arm."""
        blocks = {"problem": self.problem, "model": self.model, "trajectory": self.trajectory}
        if arm == BASE:
            return self.problem, self.model, self.trajectory
        changes = self.arms[arm]
        merged = {key: merge(block.to_dict(), getattr(changes, key)) for key, block in blocks.items()}
        variant = validated(Variant, merged, f"arms.{arm}")
        return variant.problem, variant.model, variant.trajectory

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits; they differ between recipes that differ in any key."""
        content = self.spec()
        first_names = {
            old: content.pop(new) for old, new in RENAMED.items()
        }  # so that folders of earlier versions keep their names
        return digest(content | first_names)[:8]


def renamed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a recipe with keys by their present names."""
    return {key if RENAMED.get(key, key) in content else RENAMED.get(key, key): value for key, value in content.items()}


class Variant(Schema):
    """What an arm may change."""

    problem: AnyProblem
    model: AnyModel
    trajectory: Training


def _expand_lr(entry: Any) -> list[Any]:
    """Turn one method with a list of learning rates into one method each, named after its rate."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("lr"), list):
        return [entry]
    if not entry["lr"] or not all(isinstance(lr, int | float) for lr in entry["lr"]):
        raise ValueError(f"lr: {shown(entry['lr'])} of {shown(entry.get('kind'))} is not a list of numbers")
    label = entry.get("name") or entry.get("kind")
    return [{**entry, "lr": lr, "name": rated(str(label), lr)} for lr in entry["lr"]]


def merge(block: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``block`` with ``changes`` laid over it; a changed ``kind`` drops the block's other settings."""
    if "kind" in changes and changes["kind"] != block.get("kind"):
        block = {}
    merged = dict(block)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def validated(cls: type[V], content: dict[str, Any], prefix: str = "") -> V:
    """Return the block that plain content describes.

    Raises:
        RecipeError: On the first thing that is wrong.

    """
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        raise RecipeError(explain(error, content, prefix)) from None
