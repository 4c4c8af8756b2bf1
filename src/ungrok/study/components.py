"""Variance components: how much of what differs between paths is due to the seed, the draw of the forget split, and the walk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ungrok.study.claims import Doses
from ungrok.study.claims.base import fall
from ungrok.study.recipe import Recipe
from ungrok.study.track import Track, replicates, tracks

Floats = NDArray[np.float64]

LEVELS = ("seed", "draw", "repeat")
"""What varies: seeds, draws of the forget split within a seed, walks of the same path within a draw."""

ACCURACIES = ("RA", "TA", "bystander_accuracy")

COLUMNS = ["arm", "stage", "forget", "method", "quantity", "complete", "seeds", *LEVELS]


@dataclass(frozen=True)
class Components:
    """Variances by level, in the squared unit of the values; an estimate may be negative, and is NaN where it has no variance.

    Args:
        seed: Between seeds.
        draw: Between draws of the forget split within a seed; NaN where there is one.
        repeat: Between walks of the same path within a draw; NaN where there is one.

    """

    seed: float
    draw: float
    repeat: float


def components(values: ArrayLike) -> Components:
    """Estimate the variances of a balanced nested design by the method of moments.

    Mean squares are set equal to their expectations (Searle, Casella & McCulloch 1992, Variance Components, section 3.6):
    ``E MS_repeat = v_r``, ``E MS_draw = v_r + r v_d``, ``E MS_seed = v_r + r v_d + d r v_s`` for d draws of r repeats. A level of
    one member takes no part, and its variance is in that of the level above.

    Args:
        values: Shape (seeds, draws, repeats), finite.

    Raises:
        ValueError: If the shape is another, or a value is not finite.

    """
    y = np.asarray(values, dtype=np.float64)
    if y.ndim != 3 or 0 in y.shape or not np.isfinite(y).all():
        raise ValueError("need finite values of shape (seeds, draws, repeats)")
    seeds, draws, repeats = y.shape
    of_draw, of_seed = y.mean(axis=2), y.mean(axis=(1, 2))
    squares = [
        draws * repeats * ((of_seed - y.mean()) ** 2).sum(),
        repeats * ((of_draw - of_seed[:, None]) ** 2).sum(),
        ((y - of_draw[:, :, None]) ** 2).sum(),
    ]
    freedom = [seeds - 1, seeds * (draws - 1), seeds * draws * (repeats - 1)]
    members = [draws * repeats, repeats, 1]
    estimates, below = [np.nan] * 3, 0.0
    for level in (2, 1, 0):
        if freedom[level]:
            mean_square = float(squares[level] / freedom[level])
            estimates[level] = (mean_square - below) / members[level]
            below = mean_square
    return Components(*estimates)


def variance_components(rows: pd.DataFrame, recipe: Recipe, doses: Mapping[str, Doses]) -> pd.DataFrame:
    """Return the components of what unlearning cost where the first target was reached.

    Quantities are ``updates``, the natural logarithm of the dose at which it was first reached, and the drops of RA, TA and
    bystander accuracy from the start of the path to there. A seed counts where all its paths reached the target.

    Args:
        rows: The rows of a study with columns ``draw`` or ``repeat``.
        recipe: Says how many draws and repeats there are.
        doses: Per method label, where its paths end.

    Returns:
        Columns arm, stage, forget, method, quantity, complete (seeds that count), seeds (those that have paths), and a variance per
        level, which may be negative; NaN for levels of which the recipe asks one, and with fewer than two complete seeds. Nothing
        where the recipe asks for one draw and one repeat.

    """
    shape = (recipe.forget_draws, recipe.unlearn_seeds)
    if shape == (1, 1):
        return pd.DataFrame(columns=COLUMNS)
    paths = {
        (place, seed, draw, repeat): track
        for draw, repeat, part in replicates(rows)
        for seed, place, track in tracks(part)
    }
    target, named, table = recipe.claims.primary, recipe.unlearn_labels(), []
    for place in sorted({place for place, *_ in paths if place.method in named}):
        own = {(seed, draw, repeat): track for (at, seed, draw, repeat), track in paths.items() if at == place}
        seeds = [seed for seed in recipe.seeds if any(seed == other for other, _, _ in own)]
        for quantity, read in _quantities(target, doses[place.method].end).items():
            values = _values(own, seeds, shape, read)
            if quantity == "updates" or np.isfinite(values).any():
                table.append([*astuple(place), quantity, *_estimated(values)])
    return pd.DataFrame(table, columns=COLUMNS)


def _quantities(target: float | str, end: float) -> dict[str, Callable[[Track], float | None]]:
    def updates(track: Track) -> float | None:
        return track.log_dose(target, end) if track.status(target) == "reached" else None

    def drop(name: str) -> Callable[[Track], float | None]:
        return lambda track: fall(track, track.at(target), name) if track.status(target) == "reached" else None

    return {"updates": updates} | {f"{name} drop": drop(name) for name in ACCURACIES}


def _values(
    paths: Mapping[tuple[int, int, int], Track],
    seeds: list[int],
    shape: tuple[int, int],
    read: Callable[[Track], float | None],
) -> Floats:
    """Return what is read from every path, shape (seeds, draws, repeats), NaN where there is none."""
    values = np.full((len(seeds), *shape), np.nan)
    for (seed, draw, repeat), track in paths.items():
        if seed in seeds:
            value = read(track)
            values[seeds.index(seed), draw, repeat] = np.nan if value is None else value
    return values


def _estimated(values: Floats) -> list[float]:
    """Return how many seeds are complete, how many there are, and the components over those that are complete."""
    complete = np.isfinite(values).all(axis=(1, 2))
    count = int(complete.sum())
    estimates = components(values[complete]) if count > 1 else Components(np.nan, np.nan, np.nan)
    return [count, len(values), estimates.seed, estimates.draw, estimates.repeat]
