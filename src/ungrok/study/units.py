"""Units of inference: seeds, or pairs of seeds that share their data and groups with the roles of the groups swapped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ungrok.core.errors import shown
from ungrok.data.exposed import ExposedGroup
from ungrok.study.recipe_blocks import BASE
from ungrok.study.seeding import Seeds
from ungrok.train.exposure import Assignment

if TYPE_CHECKING:
    import pandas as pd

    from ungrok.study.recipe import Recipe
    from ungrok.train import Training

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """The units of inference of a study: what may be exchanged as a whole, and what counts as one observation.

    Args:
        members: Per unit, the places of its seeds in the recipe.
        paired: Whether units are pairs of seeds.

    """

    members: tuple[tuple[int, ...], ...]
    paired: bool

    def __len__(self) -> int:
        return len(self.members)

    def means(self, values: Floats) -> Floats:
        """Return the means over the seeds of each unit, NaN where one of them is missing.

        Args:
            values: Shape (seeds, ...), NaN where a seed has no value.

        Returns:
            Shape (units, ...); the values themselves where every unit is one seed.

        """
        return np.stack([values[list(places)].mean(axis=0) for places in self.members]) if self.paired else values

    def whole(self, places: frozenset[int]) -> frozenset[int]:
        """Return the units, counted from 0, of which every seed is among the given places."""
        return frozenset(unit for unit, own in enumerate(self.members) if places.issuperset(own))

    def counted(self, count: int) -> str:
        """Return a number of units in words, for instance ``8 seeds`` or ``6 swapped pairs of seeds``."""
        return f"{count} {self.noun if count != 1 else 'swapped pair of seeds' if self.paired else 'seed'}"

    @property
    def noun(self) -> str:
        """What several units are called."""
        return "swapped pairs of seeds" if self.paired else "seeds"


def swaps(recipe: Recipe) -> bool:
    """Return whether seeds 2k and 2k + 1 share their groups, with swapped roles."""
    exposure = recipe.trajectory.exposure
    return exposure is not None and exposure.swap


def units_of(recipe: Recipe) -> Units:
    """Return the units of a recipe, in the order in which their first seeds stand there."""
    places: dict[int, list[int]] = {}
    for place, seed in enumerate(recipe.seeds):
        places.setdefault(drawing(recipe, seed), []).append(place)
    return Units(tuple(map(tuple, places.values())), swaps(recipe))


def drawing(recipe: Recipe, seed: int) -> int:
    """Return the seed that draws data, groups and forget splits for a seed: of a swapped pair the even one, for both."""
    return seed - seed % 2 if swaps(recipe) else seed


def unit_values(recipe: Recipe, table: pd.DataFrame) -> Floats:
    """Return the values of a table by unit: means over the seeds of each, without the units of which a seed lacks one.

    Args:
        recipe: Says which seeds are a unit.
        table: One row a seed, whose number is the index.

    Returns:
        Shape (units, columns).

    """
    means = units_of(recipe).means(table.reindex(recipe.seeds).to_numpy(dtype=np.float64))
    whole: Floats = means[~np.isnan(means).any(axis=1)]
    return whole


def unit_rows(recipe: Recipe, table: pd.DataFrame, same: list[str]) -> pd.DataFrame:
    """Return a table with one row a unit in the place of one a seed.

    Args:
        recipe: Says which seeds are a unit.
        table: The column ``seed``, those named in ``same``, and numbers.
        same: Columns that tell the rows of one seed apart.

    Returns:
        Where seeds are paired, the means of rows that both seeds of a pair have, with the even seed for both; else the table itself.

    """
    if not swaps(recipe):
        return table
    paired = table.assign(seed=[drawing(recipe, seed) for seed in table["seed"]]).groupby(["seed", *same], sort=False)
    return paired.mean()[paired.size() == 2].reset_index()


def assignment(recipe: Recipe, training: Training, seed: int) -> Assignment | None:
    """Return which groups a training has for one seed; None where it shows all examples alike."""
    if training.exposure is None:
        return None
    drawn_by = drawing(recipe, seed)
    return Assignment(seed=Seeds(drawn_by).exposure, swapped=seed != drawn_by)


def check_exposure(recipe: Recipe) -> None:
    """Raise ValueError where exposures, seeds and forget splits do not go together."""
    if recipe.base is not None and recipe.base.exposure is not None:
        raise ValueError("base.exposure: a base model is trained on all of its data alike; leave it out")
    for arm in (BASE, *recipe.arms):
        exposure, key = recipe.for_arm(arm)[2].exposure, "trajectory" if arm == BASE else f"arms.{arm}.trajectory"
        exposed = [rule.label for rule in recipe.forget if isinstance(rule, ExposedGroup)]
        if exposure is None and exposed:
            raise ValueError(f"forget: {shown(exposed[0])} is drawn from a group of {key}.exposure, which is missing")
        if exposure is not None and exposure.swap != swaps(recipe):
            raise ValueError(
                f"{key}.exposure.swap: {exposure.swap} differs from the base arm; seeds are paired in all arms or in none"
            )
    lone = [seed for seed in recipe.seeds if swaps(recipe) and seed + 1 - 2 * (seed % 2) not in recipe.seeds]
    if lone:
        raise ValueError(
            f"seeds: {lone[0]} lacks its partner {lone[0] + 1 - 2 * (lone[0] % 2)}: trajectory.exposure.swap pairs seeds 2k and 2k + 1"
        )
