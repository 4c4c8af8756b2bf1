"""Recipes: what a study does, as YAML with dotted overrides."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from ungrok.analyze import ANALYSES, Analysis
from ungrok.core.errors import RecipeError, nearest, unknown
from ungrok.core.schema import Schema, digest, explain
from ungrok.data.base import PROBLEMS, Problem
from ungrok.data.forget import FORGET_RULES, ForgetRule
from ungrok.evaluate.targets import target_column
from ungrok.methods import UNLEARNERS, Unlearner
from ungrok.models.base import MODELS, Model
from ungrok.study.rates import rated
from ungrok.train.loop import Training
from ungrok.train.matching import Nuisance, Part
from ungrok.train.stages import STAGES, check_stage, stage_name
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

BASE = "base"


RESERVED = ("model", "oracle", "before", "reference", "split")
"""Names that measures have for what a model is compared with, and for what they are given."""


class Side(Schema):
    """One side of a comparison; ``forget: null`` compares on every forget split in turn."""

    stage: str | int
    arm: str = BASE
    forget: str | None = None

    @property
    def label(self) -> str:
        """The name shown in tables."""
        parts = [] if self.arm == BASE else [self.arm]
        return "/".join([*parts, str(self.stage), *([self.forget] if self.forget else [])])


class Margins(Schema):
    """Equivalence margins: an interval wholly inside ± the margin is refuted as "no difference"."""

    efficiency: float = Field(0.1, gt=0, description="log ratio of updates; 0.1 is about 10 %")
    collateral: float = Field(0.01, gt=0, description="accuracy in [0, 1]")
    stability: float = Field(0.1, gt=0, description="log ratio of standard deviations")
    oracle_gap: float = Field(0.01, gt=0, description="mean absolute difference of accuracies in [0, 1]")
    paper: float = Field(0.01, gt=0, description="accuracy in [0, 1]; UES has no margin")


class Claims(Schema):
    """What is compared, at which levels of forgetting, and when a difference counts."""

    compare: list[tuple[Side, Side]] = Field([], description="pairs: from, to")
    targets: list[float | Literal["oracle"]] = Field([0.1, 0.5, "oracle"], min_length=1)
    dose: float = Field(1.0, gt=0, le=1, description="share of the updates at which doses are matched")
    strength: float = Field(0.5, gt=0, le=1, description="share of the list of strengths at which they are matched")
    alpha: float = Field(0.05, gt=0, lt=1, description="significance level; intervals cover 1 − alpha")
    margins: Margins = Margins()

    @field_validator("compare", mode="before")
    @classmethod
    def _sides(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [
            tuple(side if isinstance(side, Mapping | Side) else {"stage": side} for side in pair)
            if isinstance(pair, list | tuple)
            else pair
            for pair in value
        ]

    @field_validator("compare")
    @classmethod
    def _pairs(cls, value: list[tuple[Side, Side]]) -> list[tuple[Side, Side]]:
        labels = [(left.label, right.label) for left, right in value]
        if len(set(labels)) < len(labels):
            raise ValueError("a pair stands more than once")
        return value

    @field_validator("targets")
    @classmethod
    def _levels(cls, value: list[float | str]) -> list[float | str]:
        labels = [target_column(target) for target in value]
        if len(set(labels)) < len(labels):
            raise ValueError(f"{value}: a target stands more than once")
        for target in value:
            if isinstance(target, float) and not 0 <= target < 1:
                raise ValueError(f"{target} is not a level of UA; allowed: 0 <= level < 1, or 'oracle'")
        return value


class BatchSizes(Schema):
    """Examples per batch while unlearning."""

    forget: int = Field(64, ge=1)
    retain: int = Field(64, ge=1)
    validation: int = Field(64, ge=1)


class Observation(Schema):
    """When a path is looked at: after every update at first, then at log-spaced ones, and at its end."""

    every_until: int = Field(32, ge=1, description="updates that are all observed")
    spacing: float = Field(0.05, gt=0, description="relative distance of observed updates after that")


class Sweep(Schema):
    """Unlearning from many checkpoints along the trajectory (the paper's Figure 1b)."""

    unlearn: str = Field(description="label of the method")
    forget: str = Field(description="label of the forget split")
    points: int = Field(10, ge=2, description="log-spaced kept checkpoints; all of them where there are fewer")
    first: float = Field(0.01, ge=0, lt=1, description="share of the steps before which there are none")
    seeds: int = Field(3, ge=1, description="the first so many seeds")


class Probe(Schema):
    """What a language model is asked at the end of a path, beside the losses that are taken all along it."""

    retain: int = Field(
        100, ge=1, description="retained questions, drawn once per seed; the forget questions are all asked"
    )
    new_tokens: int = Field(64, ge=1, description="tokens generated per answer, at most")
    share: float = Field(0.2, gt=0, le=1, description="k of the min-k attacks, share of an answer's tokens")


class Arm(Schema):
    """A trajectory trained differently: overrides of problem, model or trajectory."""

    problem: dict[str, Any] = {}
    model: dict[str, Any] = {}
    trajectory: dict[str, Any] = {}
    stages: list[str | int] | None = Field(None, min_length=1, description="stages of this arm; the recipe's when null")


class Matched(Schema):
    """A checkpoint in which one nuisance is that of another checkpoint of the same seed."""

    kind: Literal["matched"] = "matched"
    stage: str | int = Field(description="stage of the checkpoint to be matched")
    arm: str = Field(BASE, description="arm of the checkpoint to be matched")
    equal: Nuisance = Field(description="what is to be equal")
    tolerance: float = Field(0.05, ge=0, description="largest difference of accuracies, or relative difference")
    part: Part = Field("any", description="which part of the trajectory is searched, relative to its transition")


class Rescaled(Schema):
    """The model of a stage with its first layer multiplied and its last divided: same function, another norm."""

    kind: Literal["rescaled"] = "rescaled"
    stage: str | int = Field(description="a stage of the same arm")
    factor: float = Field(2.0, gt=0, description="a power of two leaves the function equal bit for bit")


Control = Annotated[Matched | Rescaled, Field(discriminator="kind")]


class Recipe(Schema):
    """A study."""

    optional: ClassVar[frozenset[str]] = frozenset({"analyze", "controls"})

    name: str = Field(pattern=r"^[\w./-]+$")
    seeds: list[int] = Field(min_length=1)
    problem: AnyProblem
    model: AnyModel
    trajectory: Training = Training()
    base: Training | None = Field(
        None, description="training of the model that trajectories start from, on the base data"
    )
    arms: dict[str, Arm] = {}
    transition: TransitionRule = TransitionRule()
    controls: dict[str, Control] = Field(
        {}, description="stages of one's own: matched and rescaled checkpoints, by name"
    )
    stages: list[str | int] = Field(["pre_grok", "grokked"], min_length=1)
    forget: list[AnyForgetRule] = Field(min_length=1)
    unlearn: list[AnyUnlearner] = Field(min_length=1)
    analyze: list[AnyAnalysis] = Field([], description="measures at every stage, and at the matched dose of every path")
    batches: BatchSizes = BatchSizes()
    observe: Observation = Observation()
    noise_seeds: int = Field(1, ge=0, description="seeds that get a second oracle per forget split, as noise floor")
    sweep: Sweep | None = None
    probe: Probe | None = Field(None, description="language models only: generations, truth ratios, attacks")
    claims: Claims = Claims()
    device: Literal["auto", "cpu", "cuda"] = "cpu"

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, value: list[int]) -> list[int]:
        repeated = sorted({seed for seed in value if value.count(seed) > 1})
        if repeated:
            raise ValueError(f"{repeated} stand more than once; seeds must be distinct")
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
        for key, labels in known.items():
            repeated = {label for label in labels if labels.count(label) > 1}
            if repeated:
                raise ValueError(f"{key}: two entries are called {min(repeated)!r}; give one a name")
        if BASE in self.arms:
            raise ValueError(f"arms: {BASE!r} is the recipe itself; give the arm another name")
        arms = [BASE, *self.arms]
        self._check_stages(arms)
        for key, name, allowed in self._references(arms):
            if name not in allowed:
                raise ValueError(
                    f"{key}: {name!r} is not in this recipe; allowed: {', '.join(allowed)}{nearest(name, allowed)}"
                )
        for arm in arms:
            training = self.for_arm(arm)[2]
            if self.transition.signal == "adversarial" and training.robustness is None:
                raise ValueError(f"transition.signal: 'adversarial' needs trajectory.robustness; arm {arm!r} has none")
        return self

    def _check_stages(self, arms: list[str]) -> None:
        matched = [name for name, control in self.controls.items() if isinstance(control, Matched)]
        for name, control in self.controls.items():
            if name in STAGES or name.startswith("step-"):
                raise ValueError(f"controls: {name!r} is a stage already; give the control another name")
            if name in RESERVED:
                raise ValueError(
                    f"controls: {name!r} means something else in comparisons; give the control another name"
                )
            # A rescaled model may be that of a matched checkpoint; nothing else may follow from a control.
            allowed = matched if isinstance(control, Rescaled) else []
            check_stage(stage_name(control.stage), allowed, f"controls.{name}.stage")
        for arm in arms:
            for stage in self.stages_of(arm):
                key = "stages" if arm == BASE else f"arms.{arm}.stages"
                check_stage(stage, self.controls, key)
                steps = self.for_arm(arm)[2].steps
                if re.fullmatch(r"step-\d+", stage) and int(stage[5:]) > steps:
                    raise ValueError(f"{key}: {stage!r} lies behind the last of {steps} steps")

    def _references(self, arms: list[str]) -> Iterable[tuple[str, str, list[str]]]:
        for side in (side for pair in self.claims.compare for side in pair):
            yield "claims.compare arm", side.arm, arms
            yield "claims.compare stage", stage_name(side.stage), self.stages_of(side.arm)
            if side.forget:
                yield "claims.compare forget", side.forget, self.forget_labels()
        for name, control in self.controls.items():
            if isinstance(control, Matched):
                yield f"controls.{name}.arm", control.arm, arms
        if self.sweep:
            yield "sweep.unlearn", self.sweep.unlearn, self.unlearn_labels()
            yield "sweep.forget", self.sweep.forget, self.forget_labels()

    def stages_of(self, arm: str) -> list[str]:
        """Return the names of an arm's stages."""
        own = self.arms[arm].stages if arm != BASE else None
        return list(dict.fromkeys(map(stage_name, self.stages if own is None else own)))

    def all_stages(self) -> list[str]:
        """Return the names of all arms' stages, the recipe's own first."""
        return list(dict.fromkeys(stage for arm in (BASE, *self.arms) for stage in self.stages_of(arm)))

    def forget_labels(self) -> list[str]:
        """Return the labels of the forget splits."""
        return [rule.label for rule in self.forget]

    def unlearn_labels(self) -> list[str]:
        """Return the labels of the methods."""
        return [method.label for method in self.unlearn]

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
        variant = _validate(Variant, merged, f"arms.{arm}")
        return variant.problem, variant.model, variant.trajectory

    @property
    def hash(self) -> str:
        """Eight digits that differ between recipes that differ in any key."""
        return digest(self.spec())[:8]


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
        raise ValueError(f"lr: {entry['lr']!r} of {entry.get('kind')!r} is not a list of numbers")
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


class _Loader(yaml.SafeLoader):
    """YAML in which ``1e-3`` is a number, as YAML 1.2 has it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$"), list("-+.0123456789")
)


def parse_yaml(text: str) -> Any:
    """Parse YAML.

    Raises:
        RecipeError: If it is not YAML; the message gives the line.

    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise RecipeError(f"not valid YAML{where}: {getattr(error, 'problem', error)}") from None


def shipped() -> dict[str, Path]:
    """Return the recipes that come with the package, by name."""
    root = Path(str(resources.files("ungrok") / "recipes"))
    return {str(path.relative_to(root).with_suffix("")): path for path in sorted(root.rglob("*.yaml"))}


def find(name: str) -> Path:
    """Return the file of a recipe given by name or path.

    Raises:
        RecipeError: If there is none.

    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise RecipeError(f"recipe: no file {name!r}")
        return path
    if name not in shipped():
        raise unknown("recipe", name, shipped())
    return shipped()[name]


def load(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Return the recipe of a name or path, with ``key=value`` overrides.

    Raises:
        RecipeError: On the first thing that is wrong.

    """
    try:
        text = find(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe: {name!r} cannot be read as UTF-8 text ({error})") from None
    content = parse_yaml(text)
    if not isinstance(content, dict):
        raise RecipeError(f"recipe: {name} does not hold a mapping")
    for override in overrides:
        content = _override(content, override)
    return validate(content)


def validate(content: dict[str, Any]) -> Recipe:
    """Return the recipe that plain YAML content describes.

    Raises:
        RecipeError: On the first thing that is wrong.

    """
    recipe: Recipe = _validate(Recipe, content)
    return recipe


def to_yaml(recipe: Recipe) -> str:
    """Return the recipe with every default, as YAML that :func:`load` accepts."""
    return yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True, width=120)


def _override(content: dict[str, Any], override: str) -> dict[str, Any]:
    """Apply one ``a.b.0.c=value``."""
    key, sign, text = override.partition("=")
    if not sign:
        raise RecipeError(f"override {override!r}: allowed: key=value, for instance trajectory.steps=2000")
    parts: list[str] = key.strip().split(".")
    content = copy.deepcopy(content)
    here: Any = content
    for depth, part in enumerate(parts[:-1]):
        where = ".".join(parts[: depth + 1])
        if isinstance(here, list):
            here = here[_index(here, part, where)]
        else:
            if here.get(part) is None:
                here[part] = {}
            here = here[part]
        if not isinstance(here, dict | list):
            raise RecipeError(f"{where}: {here!r} has no keys below it")
    value = parse_yaml(text)
    last = parts[-1]
    if isinstance(here, list):
        here[_index(here, last, key)] = value
    elif last == "kind" and here.get("kind") != value:
        here.clear()
        here["kind"] = value
    elif isinstance(here.get(last), dict) and isinstance(value, dict):
        here[last] = merge(here[last], value)
    else:
        here[last] = value
    return content


def _index(items: list[Any], part: str, where: str) -> int:
    if not part.isdigit() or int(part) >= len(items):
        raise RecipeError(f"{where}: {part!r} is not an entry; allowed: 0 to {len(items) - 1}")
    return int(part)


def _validate(cls: type[Any], content: dict[str, Any], prefix: str = "") -> Any:
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        raise RecipeError(explain(error, content, prefix)) from None
