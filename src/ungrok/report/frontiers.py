"""The least damage at each level of forgetting over all learning rates, and how two stages differ in it: free of targets and rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ungrok.report.view import View
from ungrok.study.inference import Differences, family
from ungrok.study.place import Comparison
from ungrok.study.search import grid_of
from ungrok.study.track import Track
from ungrok.study.units import units_of

Floats = NDArray[np.float64]

LEVELS: Floats = np.linspace(1, 0, 21)
"""Levels of UA at which frontiers are compared."""


@dataclass(frozen=True)
class Frontier:
    """The frontiers of one method from both sides of a comparison.

    Args:
        left: Least damage of the earlier side, shape (seeds, levels), NaN where no path gets to a level.
        right: The same of the later side.
        difference: Mean over seeds of left minus right, shape (levels,), NaN where fewer than half of the seeds have both.
        low: Lower end of its band, which holds for all levels together; −inf where there is no bound.
        high: Upper end.

    """

    left: Floats
    right: Floats
    difference: Floats
    low: Floats
    high: Floats


def every_rate(view: View, method: str) -> dict[float | None, str]:
    """Return the labels of a method at all rates that a search has tried, by rate; under None where it has none."""
    unlearner = next(one for one in view.recipe.unlearn if one.label == method)
    labels = {place.method for place in view.paths}
    tried: dict[float | None, str] = {getattr(unlearner, "lr", None): method}
    return tried | dict(grid_of(labels, method))


def least_damage(paths: Iterable[Track], accuracy: str, levels: Floats = LEVELS) -> Floats:
    """Return the least damage beyond the oracle over all places at which UA is at or below a level.

    Args:
        paths: The paths of one seed and side, at any rates.
        accuracy: Column of an accuracy on data that are neither forgotten nor retained; ``oracle_`` before it gives the oracle's.
        levels: Levels of UA.

    Returns:
        Accuracy of the oracle minus that of the path, of the shape of ``levels``; NaN where no path gets to a level.

    """
    least = np.full(len(levels), np.inf)
    for track in paths:
        ua, damage = (
            values.to_numpy(dtype=np.float64)
            for values in (track.rows["UA"], track.rows[f"oracle_{accuracy}"] - track.rows[accuracy])
        )
        there = (ua[:, None] <= levels + 1e-9) & np.isfinite(damage)[:, None]
        least = np.minimum(least, np.where(there, damage[:, None], np.inf).min(axis=0))
    return np.where(np.isfinite(least), least, np.nan)


def judged_by(tracks: Sequence[Track]) -> str | None:
    """Return the accuracy by which damage is judged: that of bystander classes, else TA; None where the oracle has neither."""
    for accuracy in ("bystander_accuracy", "TA"):
        columns = (accuracy, f"oracle_{accuracy}")
        if tracks and all(
            name in track.rows and np.isfinite(track.start[name] or np.nan) for track in tracks for name in columns
        ):
            return accuracy
    return None


def frontier(view: View, comparison: Comparison, method: str) -> Frontier | None:
    """Return the frontiers of a method from both sides of a comparison; None where no seed has both sides, or no oracle."""
    labels = list(every_rate(view, method).values())
    sides = [[view.tracks(replace(place, method=label)) for label in labels] for place in comparison.places(method)]
    accuracy = judged_by([track for side in sides for paths in side for track in paths.values()])
    both = [seed for seed in view.recipe.seeds if all(any(seed in paths for paths in side) for side in sides)]
    if accuracy is None or not both:
        return None
    left, right = (
        np.array([least_damage((paths[seed] for paths in side if seed in paths), accuracy) for seed in both]) for side in sides
    )  # fmt: skip
    differences = np.full((len(view.recipe.seeds), len(LEVELS)), np.nan)
    differences[[view.recipe.seeds.index(seed) for seed in both]] = left - right
    units = units_of(view.recipe)
    there = sorted(units.whole(frozenset(view.recipe.seeds.index(seed) for seed in both)))
    return Frontier(left, right, *band(units.means(differences)[there], view.recipe.claims.alpha))


def median_of_seeds(values: Floats) -> Floats:
    """Return the median over seeds, shape (levels,), where at least half of them get to a level; values of shape (seeds, levels), NaN elsewhere."""
    enough = np.isfinite(values).sum(axis=0) * 2 >= len(values)
    middle = np.full(values.shape[1], np.nan)
    middle[enough] = np.nanmedian(values[:, enough], axis=0)
    return middle


def band(differences: Floats, alpha: float) -> tuple[Floats, Floats, Floats]:
    """Return the mean difference at each level, and the ends of a band that covers all levels together.

    Args:
        differences: Shape (seeds, levels), NaN where a seed lacks a level on a side.
        alpha: One minus the probability with which the band covers.

    """
    middle, low, high = (np.full(differences.shape[1], np.nan) for _ in range(3))
    enough = np.isfinite(differences).sum(axis=0) * 2 >= max(1, len(differences))
    for place, estimate in zip(
        np.flatnonzero(enough),
        family([Differences(row) for row in differences.T[enough]], len(differences), alpha),
        strict=True,
    ):
        middle[place], low[place], high[place] = estimate.effect, estimate.low, estimate.high
    return middle, low, high
