"""Blocks of a recipe that are the same for every kind of problem, model and method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ungrok.core.errors import listed
from ungrok.core.schema import Schema
from ungrok.evaluate.targets import target_column
from ungrok.train.matching import Nuisance, Part
from ungrok.train.stages import Signal

BASE = "base"
"""The arm that a recipe describes without its ``arms``."""


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
    """Differences that are too small to matter: a claim whose interval lies within ± the margin is refuted as "no difference".

    The last two say up to which difference groups of randomized exposure count as alike.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"base_loss", "oracle_score"})

    efficiency: float = Field(0.1, gt=0, description="log ratio of updates; 0.1 is about 10 %")
    collateral: float = Field(0.01, gt=0, description="accuracy in [0, 1]")
    stability: float = Field(0.1, gt=0, description="log ratio of standard deviations")
    oracle_gap: float = Field(0.01, gt=0, description="mean absolute difference of accuracies in [0, 1]")
    paper: float = Field(0.01, gt=0, description="accuracy in [0, 1]; UES has no margin")
    base_loss: float = Field(0.1, gt=0, description="log ratio of losses before training; 0.1 is about 10 %")
    oracle_score: float = Field(0.05, gt=0, description="UA or extraction strength in [0, 1]")


class Learned(Schema):
    """When an example counts as learned: from the first recorded step on from which its loss stays low and near to its last one."""

    epsilon: float = Field(0.1, gt=0, description="the loss is at or below, in the unit of the training loss")
    delta: float = Field(0.1, gt=0, description="how near to its last value it stays, in the same unit")


HeadlineMetric = Literal[
    "same_rate",
    "own_rate",
    "distance",
    "damage",
    "lasting",
    "price",
    "durability",
    "oracle_gap",
    "spread",
    "beyond_oracle",
    "extraction_forget",
    "extraction_retain",
]

Pair = tuple[Side, Side]
"""What is compared, the earlier side first."""


def _as_sides(pair: Any) -> Any:
    """Return a pair whose sides may be given by their stage alone."""
    if not isinstance(pair, list | tuple):
        return pair
    return tuple(side if isinstance(side, Mapping | Side) else {"stage": side} for side in pair)


class Headline(Schema):
    """The rows that are judged together, in which alone words are given; what is left out is chosen by default."""

    optional: ClassVar[frozenset[str]] = frozenset({"forget", "also"})

    compare: Pair | None = Field(None, description="one of claims.compare; the first when null")
    also: list[Pair] = Field([], description="others of claims.compare that are judged with it")
    target: float | Literal["oracle"] | None = Field(
        None, description="one of claims.targets; the first that is a number when null"
    )
    forget: list[str] | None = Field(None, min_length=1, description="labels of forget splits; all when null")
    metrics: list[HeadlineMetric] | None = Field(
        None,
        min_length=1,
        description="per method and forget split; when null as many as give at most 60 rows, without those of extraction",
    )

    _sides = field_validator("compare", mode="before")(staticmethod(_as_sides))

    @field_validator("also", mode="before")
    @classmethod
    def _pairs_of_sides(cls, pairs: Any) -> Any:
        return [_as_sides(pair) for pair in pairs] if isinstance(pairs, list | tuple) else pairs

    @property
    def pairs(self) -> list[Pair]:
        """The comparisons of a family with nothing left open, ``compare`` first."""
        return [*([self.compare] if self.compare else []), *self.also]


class Claims(Schema):
    """What is compared, at which levels of forgetting, and when a difference counts."""

    optional: ClassVar[frozenset[str]] = frozenset({"headline", "learned"})

    compare: list[Pair] = Field([], description="pairs of sides, the earlier one first")
    targets: list[float | Literal["oracle"]] = Field([0.1, 0.5, "oracle"], min_length=1)
    dose: float = Field(
        1.0, gt=0, le=1, description="matched dose of methods that make updates, as a share of their updates"
    )
    strength: float = Field(
        0.5, gt=0, le=1, description="matched dose of one-shot methods, as a share of their list of strengths"
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="significance level; intervals cover 1 − alpha")
    margins: Margins = Margins()
    headline: Headline = Headline()
    learned: Learned = Field(Learned(), description="where a training shows some examples later than others")

    @property
    def primary(self) -> float | Literal["oracle"]:
        """The first target that is a number, or the first at all."""
        return next((target for target in self.targets if not isinstance(target, str)), self.targets[0])

    @property
    def main_target(self) -> float | Literal["oracle"]:
        """The target of the headline family."""
        return self.primary if self.headline.target is None else self.headline.target

    def level(self, asks: str) -> float:
        """Return that target, which must be a level of UA.

        Args:
            asks: What needs it, as the start of a message.

        Raises:
            ValueError: If it is no number.

        """
        target = self.main_target
        if isinstance(target, float):
            return target
        key = "claims.targets" if self.headline.target is None else "claims.headline.target"
        raise ValueError(f"{key}: {asks} a level of UA, which {target!r} is not; give a number, for instance 0.1")

    @field_validator("compare", mode="before")
    @classmethod
    def _sides(cls, value: Any) -> Any:
        return [_as_sides(pair) for pair in value] if isinstance(value, list) else value

    @field_validator("compare")
    @classmethod
    def _pairs(cls, value: list[tuple[Side, Side]]) -> list[tuple[Side, Side]]:
        labels = [(left.label, right.label) for left, right in value]
        if len(set(labels)) < len(labels):
            raise ValueError("a pair is listed more than once")
        return value

    @field_validator("targets")
    @classmethod
    def _levels(cls, value: list[float | str]) -> list[float | str]:
        labels = [target_column(target) for target in value]
        if len(set(labels)) < len(labels):
            raise ValueError(f"{value}: a target is listed more than once")
        for target in value:
            if isinstance(target, float) and not 0 <= target < 1:
                raise ValueError(f"{target} is not a level of UA; allowed: 0 <= level < 1, or 'oracle'")
        return value

    @model_validator(mode="after")
    def _listed(self) -> Claims:
        pair, also, target = self.headline.compare, self.headline.also, self.headline.target
        compared = [*([pair] if pair else self.compare[:1]), *also]
        for key, one in [*([("compare", pair)] if pair else []), *(("also", one) for one in also)]:
            label = " → ".join(side.label for side in one)
            if one not in self.compare:
                raise ValueError(f"headline.{key}: {label} is not in claims.compare")
            if key == "also" and compared.count(one) > 1:
                raise ValueError(f"headline.also: {label} is in the family more than once")
        if self.headline.forget and any(side.forget for one in compared for side in one):
            raise ValueError(
                "headline.forget: the comparison names its forget splits already; leave one of the two out"
            )
        if target is not None and target not in self.targets:
            raise ValueError(
                f"headline.target: {target} is not in claims.targets; allowed: {listed(map(str, self.targets))}"
            )
        return self


class BatchSizes(Schema):
    """Examples per batch while unlearning."""

    forget: int = Field(64, ge=1)
    retain: int = Field(64, ge=1)
    validation: int = Field(64, ge=1)


class DrawnNumbers(Schema):
    """How many examples are scored between the first and the last place of a path, beside those that are forgotten.

    They are drawn once for each seed of a path. At both ends all examples are scored; see :mod:`ungrok.evaluate.drawn`.
    """

    retain: int | None = Field(None, ge=1, description="retained training examples; all when null")
    validation: int | None = Field(None, ge=1, description="validation examples; all when null")
    test: int | None = Field(None, ge=1, description="test examples; all when null")
    moved: int | None = Field(
        None,
        ge=1,
        description="forgotten and retained examples on which the distance of functions is measured, at the ends as well; when null 100, of language models 16",
    )

    def scored(self, every: int) -> int:
        """Return about how many of ``every`` examples are scored between the ends; as many are taken to be forgotten as retained."""
        if self.retain is None or self.validation is None or self.test is None:
            return every
        return min(every, 2 * self.retain + self.validation + self.test)


class Observation(Schema):
    """When a path is observed: after every update at first, then after log-spaced ones, and at its end."""

    optional: ClassVar[frozenset[str]] = frozenset({"drawn"})

    every_until: int = Field(32, ge=1, description="up to this update every one is observed")
    spacing: float = Field(0.05, gt=0, description="relative distance between observed updates after that")
    drawn: DrawnNumbers | None = Field(None, description="examples scored between the ends of a path; all when null")


class Along(Schema):
    """Unlearning from many checkpoints along the trajectory (the paper's Figure 1b)."""

    unlearn: str = Field(description="label of the method")
    forget: str = Field(description="label of the forget split")
    points: int = Field(
        10, ge=2, description="number of checkpoints, log-spaced; all that were kept where there are fewer"
    )
    first: float = Field(
        0.01, ge=0, lt=1, description="share of the training steps before which no checkpoint is taken"
    )
    seeds: int = Field(3, ge=1, description="number of seeds, counted from the first")


class Probe(Schema):
    """What a language model is asked at the end of a path, beside the losses that are taken all along it."""

    retain: int = Field(
        100, ge=1, description="number of retained questions, drawn once per seed; all forget questions are asked"
    )
    new_tokens: int = Field(64, ge=1, description="largest number of tokens generated per answer")
    share: float = Field(0.4, gt=0, le=1, description="k of the min-k attacks, as a share of an answer's tokens")
    rounding: Literal["down", "up"] = Field("down", description="which way their number of tokens is rounded")
    last_token: bool = Field(False, description="whether they see the last token, which ends the answer")


class Arm(Schema):
    """A trajectory trained differently: overrides of problem, model or trajectory.

    With ``grid: {trajectory.sam.rho: [0.02, 0.05]}`` it becomes one arm for each value.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"grid", "family", "seeds", "forget", "unlearn_lr"})
    listed_later: ClassVar[frozenset[str]] = optional

    problem: dict[str, Any] = {}
    model: dict[str, Any] = {}
    trajectory: dict[str, Any] = {}
    stages: list[str | int] | None = Field(None, min_length=1, description="stages of this arm; the recipe's when null")
    seeds: int | None = Field(
        None, ge=1, description="how many of the recipe's seeds it has, the first ones; all when null"
    )
    forget: list[str] | None = Field(
        None, min_length=1, description="labels of the forget splits of this arm; the recipe's when null"
    )
    unlearn_lr: float | None = Field(
        None, gt=0, description="by what the learning rates of unlearning are multiplied in this arm; 1 when null"
    )
    grid: dict[str, float] | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="in a recipe, a key and its values; in each of the arms, its value",
    )
    family: str | None = Field(None, description="name of the entry that the arm was one value of; null for others")

    @model_validator(mode="after")
    def _one_of_a_family(self) -> Arm:
        if (self.grid is None) != (self.family is None):
            raise ValueError("grid and family belong together; give a list of values in grid, and no family")
        return self


class Matched(Schema):
    """The step of a trajectory at which one quantity is nearest to its value at another checkpoint of the same seed."""

    kind: Literal["matched"] = "matched"
    stage: str | int = Field(description="stage of the checkpoint to be matched")
    arm: str = Field(BASE, description="arm of the checkpoint to be matched")
    equal: Nuisance = Field(description="the quantity that is to be equal")
    tolerance: float = Field(0.05, ge=0, description="largest difference that is accepted; relative but for accuracies")
    part: Part = Field("any", description="which part of the trajectory is searched, relative to its transition")

    def described(self) -> str:
        """Return which checkpoint this is, as the report says it."""
        to = Side(stage=self.stage, arm=self.arm).label
        return f"the step with the {self.equal.replace('_', ' ')} of {to}, within {self.tolerance:g}"


class Rescaled(Schema):
    """The model of a stage with its first layer multiplied and its last divided: same function, another norm."""

    optional: ClassVar[frozenset[str]] = frozenset({"family"})
    listed_later: ClassVar[frozenset[str]] = frozenset({"family"})

    kind: Literal["rescaled"] = "rescaled"
    stage: str | int = Field(description="a stage of the same arm")
    factor: float = Field(
        2.0, gt=0, description="a power of two leaves the function equal bit for bit; a list makes one control of each"
    )
    family: str | None = Field(None, description="name of the entry whose list held the factor; null for others")

    def described(self) -> str:
        """Return which model this is, as the report says it."""
        layers = f"its first layer times {self.factor:g} and its last divided by it"
        return f"the model of {self.stage} with {layers}: the same function"


class Level(Schema):
    """The first evaluated step at which a signal of training reaches a level; also written as an entry of ``stages``."""

    kind: Literal["level"] = "level"
    of: Signal = Field(description="an accuracy, which must be at or above the level, or a loss, at or below it")
    at: float = Field(gt=0, description="an accuracy in [0, 1], or a loss")
    sustained: bool = Field(
        False, description="whether it must hold in as many evaluations in a row as transition.sustained says"
    )

    @model_validator(mode="after")
    def _an_accuracy(self) -> Level:
        if self.of.endswith("accuracy") and self.at > 1:
            raise ValueError(f"at: {self.at:g} is not an accuracy; allowed: above 0, at most 1")
        return self

    @property
    def label(self) -> str:
        """The name of an entry of ``stages`` that has none, for instance ``train_accuracy-0.79``."""
        return f"{self.of}-{self.at:g}"

    def described(self) -> str:
        """Return which step this is, as the report says it."""
        side = "at or above" if self.of.endswith("accuracy") else "at or below"
        held = ", and stays there in the evaluations after it" if self.sustained else ""
        return f"the first evaluated step at which {self.of.replace('_', ' ')} is {side} {self.at:g}{held}"


Control = Annotated[Matched | Rescaled | Level, Field(discriminator="kind")]
