"""The contract of every stress test: an attack on a model after unlearning, whose answer is how much comes back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from pydantic import AfterValidator, BeforeValidator, Field
from torch import Tensor, nn

from ungrok.core.entrance import check_model, check_seed
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.modules import bare, duplicate
from ungrok.core.objective import Batch, Family, Objective
from ungrok.core.registry import Registry
from ungrok.core.schema import Explained, Schema
from ungrok.core.seeds import generator


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, int | float | str) else value  # a text is refused as a number, not as a list


def _distinct(value: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(value)) < len(value):
        raise ValueError(f"{value}: a value stands more than once; allowed: different ones")
    return value


Several = (BeforeValidator(_several), Field(min_length=1), AfterValidator(_distinct))
"""What makes a tuple of numbers a grid: one number or several, all different."""

Rates = Annotated[tuple[Annotated[float, Field(ge=0)], ...], *Several]
"""Numbers from 0."""

Shares = Annotated[tuple[Annotated[float, Field(ge=0, lt=1)], ...], *Several]
"""Numbers from 0 to below 1."""

Dose = Literal["updates", "bits", "share", "layer", "t", "level"]
"""What a path runs over."""


class Examples(Protocol):
    """Examples that can be taken by their number, as :class:`ungrok.data.base.Split` and :class:`ungrok.audits.collected.Collected`."""

    def __len__(self) -> int:
        """Return their number."""

    def batch(self, index: Tensor, /) -> Batch:
        """Return the examples that ``index`` (int64) selects as a batch of the objective."""


@dataclass(frozen=True)
class Setting:
    """One point of a stress test's grid.

    Args:
        label: Its name in tables; empty where a test has no grid.
        share: Share of the forget set that the attacker holds; None where the attack uses no forget example.
        lr: Learning rate; None where nothing is trained with one.

    """

    label: str = ""
    share: float | None = None
    lr: float | None = None


@dataclass(frozen=True)
class StressStep:
    """One place on the path of a stress test.

    Args:
        dose: How far along the path this is, in the unit of :attr:`StressTest.dose`.
        updates: Optimizer updates made so far; 0 along the path of a test that trains nothing.
        model: The live model; valid until the path is resumed.
        numbers: Accuracies that the test reads in a way of its own, by name; they replace those of the model's scores.

    """

    dose: float
    updates: int
    model: nn.Module
    numbers: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class StressMaterial:
    """What an attacker may work with.

    Args:
        objective: How a batch becomes logits and losses.
        forget: The examples that were to be forgotten, of which the attacker holds a share.
        retain: The training examples that were kept.
        test: Examples that no model has seen.
        validation: Held-out examples; None where there are none.
        original: The model before unlearning.
        oracle: The model that was retrained without ``forget``.
        seed: The only source of randomness.

    """

    objective: Objective
    forget: Examples
    retain: Examples
    test: Examples
    validation: Examples | None = None
    original: nn.Module | None = None
    oracle: nn.Module | None = None
    seed: int = 0

    def held(self, share: float | None) -> Tensor:
        """Return the forget examples that the attacker holds, int64, increasing; who they are depends on seed and share alone.

        A share above 0 is one example at least, as long as another is left to be held back.
        """
        return self._order()[: self._count(share)].sort().values

    def held_back(self, share: float | None) -> Tensor:
        """Return the other forget examples, int64, increasing: those on which UA is read."""
        return self._order()[self._count(share) :].sort().values

    def _order(self) -> Tensor:
        return torch.randperm(len(self.forget), generator=generator(self.seed, "held"))

    def _count(self, share: float | None) -> int:
        if not share:
            return 0
        return max(0, min(len(self.forget) - 1, max(1, round(share * len(self.forget)))))


class StressTest(Schema, metaclass=Explained):
    """An attack on a model after unlearning, with its settings.

    Making one raises RecipeError if a setting is not known, or its value not allowed.
    :meth:`path` is a generator that yields the *live* model at every place, first the untouched one. The model handed in is never
    changed, the caller's random state never moves, and all randomness comes from the material's seed.
    """

    inputs: ClassVar[tuple[Family, ...]] = ("classifier", "language")
    """Families of models that it attacks."""
    dose: ClassVar[Dose]
    """What its path runs over."""
    moves: ClassVar[bool] = True
    """Whether the model differs from place to place, so that each must be scored."""
    counts: ClassVar[bool] = True
    """Whether what it brings back is part of R, the worst gap to the oracle; not where it brings knowledge along from another model."""

    kind: str
    name: str | None = Field(None, description="label in tables; the kind when null")

    @property
    def label(self) -> str:
        """The name shown in tables."""
        return self.name or self.kind

    @property
    def needs(self) -> tuple[str, ...]:
        """Models that it cannot do without: original, oracle."""
        return ()

    def settings(self) -> tuple[Setting, ...]:
        """Return the grid, of which the strongest point counts."""
        return (Setting(),)

    def observed(self, step: StressStep) -> bool:  # noqa: ARG002
        """Return whether a place is worth a score."""
        return True

    def summary(self, rows: list[dict[str, Any]]) -> dict[str, float | None]:  # noqa: ARG002
        """Return numbers of a whole path that stand in each of its rows, by name.

        Args:
            rows: One per observed place of one setting, as :func:`ungrok.audits.attacked.attacked` makes them.

        """
        return {}

    @abstractmethod
    def steps(self, model: nn.Module, material: StressMaterial, setting: Setting) -> Iterator[StressStep]:
        """Yield the path, first the untouched model; ``model`` is a copy that this may change, called once all has been checked."""

    def check(self, model: nn.Module, material: StressMaterial) -> None:
        """Raise NotApplicable or RecipeError where the test cannot be run; called before any work."""

    def path(self, model: nn.Module, material: StressMaterial, setting: Setting) -> Iterator[StressStep]:
        """Return the path of one setting from ``model``, which is not changed.

        Raises:
            RecipeError: If a model that the test needs is missing, or another set is empty.
            NotApplicable: If the test does not apply to this model.

        """
        self.refuse(model, material)
        return self.steps(duplicate(bare(model)), material, setting)

    def refuse(self, model: nn.Module, material: StressMaterial) -> None:
        """Raise RecipeError or NotApplicable, as :meth:`path` does, where there can be no path."""
        check_model("model", model)
        check_seed(material.seed)
        family = material.objective.family
        if family not in self.inputs:
            raise NotApplicable(
                f"{self.kind}: attacks {' and '.join(self.inputs)} models only; this one is a {family} model"
            )
        for need in self.needs:
            if getattr(material, need) is None:
                raise RecipeError(f"{self.kind} needs {need}=, which was not given")
        for role in ("forget", "retain", "test"):
            if len(getattr(material, role)) == 0:
                raise RecipeError(f"{role}: holds no examples")
        self.check(bare(model), material)


STRESS_TESTS: Registry[StressTest] = Registry(
    "stress test", "ungrok.stress_tests", ("ungrok.audits", "STRESS_TESTS.register"), StressTest
)

DEFAULTS: dict[Family, tuple[dict[str, str], ...]] = {
    "classifier": (
        {"kind": "interpolate"},
        {"kind": "linear_probe"},
        {"kind": "prune"},
        {"kind": "quantize"},
        {"kind": "relearn"},
        {"kind": "weight_noise"},
        {"kind": "interpolate", "to": "oracle"},
    ),
    "language": ({"kind": "relearn"}, {"kind": "quantize"}, {"kind": "extract"}),
}
"""By the family of models: the attacks of :func:`default_attacks`."""


def default_attacks(family: Family, *, has_oracle: bool = True) -> list[dict[str, str]]:
    """Return the attacks that are made where none are named, as entries of a recipe.

    Args:
        family: Of the models.
        has_oracle: Whether an oracle stands beside the unlearned model.

    """
    return [entry for entry in DEFAULTS[family] if has_oracle or entry.get("to") != "oracle"]
