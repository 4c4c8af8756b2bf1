"""The blocks ``stress`` and ``lasting`` of a recipe: whether what was forgotten comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from ungrok.audits import STRESS_TESTS, StressTest
from ungrok.audits.base import Several, default_attacks
from ungrok.audits.relearn import BATCH, LR
from ungrok.core.errors import listed, shown
from ungrok.core.plain import check_name
from ungrok.core.schema import Schema
from ungrok.data.base import PROBLEMS
from ungrok.study.recipe_blocks import Claims

if TYPE_CHECKING:
    from ungrok.study.recipe import Recipe

    AnyStressTest = StressTest
else:
    AnyStressTest = STRESS_TESTS.union()

WORDS = ("oracle", "rewound", "end")
"""Places on a path that have a name instead of a number."""

Where = Annotated[float, Field(ge=0, lt=1)] | Literal["oracle", "rewound", "end"]
"""A place on a path: the first at a target of UA, the one that rewinding selects, or the end."""


def where_label(where: float | str) -> str:
    """Return the name of a place in tables, for instance ``0.1``."""
    return where if isinstance(where, str) else format(where, "g")


class Stress(Schema):
    """Attacks on the models after unlearning, on the oracles and on the models before."""

    attacks: list[AnyStressTest] = Field(min_length=1, description="those of ungrok.attack when left out")
    places: list[Where] | None = Field(
        None, min_length=1, description="places on each path; every target, the rewound one and the end when null"
    )
    methods: list[str] | None = Field(None, min_length=1, description="labels of methods; all when null")
    seeds: int | None = Field(None, ge=1, description="number of seeds, counted from the first; all when null")

    @field_validator("places", mode="before")
    @classmethod
    def _places(cls, value: Any) -> Any:
        for place in value if isinstance(value, list) else []:
            number = isinstance(place, int | float) and not isinstance(place, bool) and 0 <= place < 1
            if not number and place not in WORDS:
                raise ValueError(f"{shown(place)} is no place; allowed: a target of UA, {listed(WORDS)}")
            if value.count(place) > 1:
                raise ValueError(f"{shown(place)} stands more than once; allowed: different places")
        return value

    @field_validator("attacks")
    @classmethod
    def _distinct(cls, value: list[StressTest]) -> list[StressTest]:
        labels = [test.label for test in value]
        for label in labels:
            check_name(label, "name")
        repeated = [label for label, count in Counter(labels).items() if count > 1]
        if repeated:
            raise ValueError(f"two entries are called {shown(min(repeated))}; give one a name")
        return value

    def at(self, claims: Claims) -> list[float | Literal["oracle", "rewound", "end"]]:
        """Return the places on each path that are attacked."""
        return [*claims.targets, "rewound", "end"] if self.places is None else list(self.places)


class Lasting(Schema):
    """After how many updates of unlearning the forgetting stands a repair: training on retained data alone."""

    updates: int = Field(50, ge=1, description="updates of the repair")
    lr: Annotated[tuple[Annotated[float, Field(gt=0)], ...], *Several] = Field(
        LR, description="learning rates of the repair; the one that brings most back counts"
    )
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="of the repair; SGD with a momentum of 0.9")
    batch: int = Field(BATCH, ge=2, description="retained examples per update of the repair")
    methods: list[str] | None = Field(None, min_length=1, description="labels of methods; all when null")
    rates: Literal["nominal", "all"] = Field(
        "nominal", description="all: also at the rates that a search has tried; nominal: at the recipe's own alone"
    )


def with_attacks(content: dict[str, Any]) -> dict[str, Any]:
    """Return the plain content of a recipe, a block ``stress`` without ``attacks`` filled in: with those that are made by default."""
    block, problem = content.get("stress"), content.get("problem")
    kind = getattr(problem, "kind", None) or (problem.get("kind") if isinstance(problem, dict) else None)
    if not isinstance(block, dict) or "attacks" in block or kind not in PROBLEMS.names():
        return content
    return content | {"stress": {"attacks": default_attacks(PROBLEMS.get(kind).family), **block}}


def references(recipe: Recipe) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the names that the blocks ``stress`` and ``lasting`` use: the key, the name, and those that are allowed there."""
    labels = recipe.unlearn_labels()
    for key, block in (("stress", recipe.stress), ("lasting", recipe.lasting)):
        for label in block.methods or [] if block else []:
            yield f"{key}.methods", label, labels
    if recipe.stress:
        allowed = [where_label(where) for where in Stress(attacks=recipe.stress.attacks).at(recipe.claims)]
        for where in recipe.stress.places or []:
            yield "stress.places", where_label(where), allowed


def check_stress(recipe: Recipe) -> None:
    """Raise ValueError where the blocks ``stress`` and ``lasting`` do not fit the problem or the targets."""
    family = recipe.problem.family
    for number, test in enumerate(recipe.stress.attacks if recipe.stress else []):
        if family not in test.inputs:
            models = " and ".join(test.inputs)
            raise ValueError(
                f"stress.attacks.{number}: {shown(test.kind)} attacks {models} models only; those of problem "
                f"{shown(recipe.problem.kind)} are {family} models"
            )
    attacked, there = recipe.stress and recipe.stress.seeds, len(recipe.seeds)
    if attacked and attacked > there:
        raise ValueError(f"stress.seeds: {attacked}, and the recipe has {there}; allowed: at most {there}")
    if recipe.lasting:
        lasting_target(recipe.claims)


def lasting_target(claims: Claims) -> float:
    """Return the level of UA that is to last: the target of the headline, else the first number in ``claims.targets``.

    Raises:
        ValueError: If it is no number.

    """
    return claims.level("lasting needs")
