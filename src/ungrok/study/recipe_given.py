"""The block ``given`` of a recipe: checkpoints and data that a user's program gave to ``ungrok.sweep``, by their hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ungrok.core.errors import shown
from ungrok.core.schema import Schema

if TYPE_CHECKING:
    from ungrok.study.recipe import Recipe

HASH = r"^[0-9a-f]{64}$"


class GivenRun(Schema):
    """What was given for one seed."""

    data: str = Field(pattern=HASH, description="SHA-256 of the examples")
    checkpoints: str = Field(pattern=HASH, description="SHA-256 of the steps and weights of the training's checkpoints")
    oracle: str | None = Field(None, pattern=HASH, description="the same of the retraining without the forget examples")


def given_of(recipe: Recipe, seed: int) -> GivenRun | None:
    """Return what was given for a seed; None where the recipe trains its models itself."""
    return recipe.given[recipe.seeds.index(seed)] if recipe.given else None


def check_given(recipe: Recipe) -> None:
    """Raise ValueError where a recipe asks of checkpoints that were given what only a training of its own can do."""
    if not recipe.given:
        return
    if len(recipe.given) != len(recipe.seeds):
        raise ValueError(f"given: {len(recipe.given)} entries for {len(recipe.seeds)} seeds; allowed: one for each")
    usual: dict[str, Any] = {
        "arms": {},
        "base": None,
        "data_seed": None,
        "along": None,
        "noise_seeds": 0,
        "forget_draws": 1,
        "requests": 1,
    }
    for key, value in usual.items():
        if getattr(recipe, key) != value:
            raise ValueError(
                f"{key}: {shown(getattr(recipe, key))} needs trainings that a sweep does not make; leave it out"
            )
    if recipe.trajectory.exposure is not None:
        raise ValueError("trajectory.exposure: needs trainings that a sweep does not make; leave it out")
    without = sum(run.oracle is None for run in recipe.given)
    if without and (recipe.stress or recipe.lasting):
        key = "stress" if recipe.stress else "lasting"
        raise ValueError(f"{key}: needs an oracle for every seed, and {without} of {len(recipe.given)} have none")
    for number, method in enumerate(recipe.unlearn):
        lacking = next((need for need in ("base", "rewound") if need in method.needs), None)
        if lacking or method.from_scratch:
            raise ValueError(
                f"unlearn.{number}: {method.kind!r} trains as the model was trained, which a sweep does not know; leave it out"
            )
