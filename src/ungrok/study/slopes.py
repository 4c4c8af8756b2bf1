"""Slopes of costs and measures along series of models that differ in one number, one slope per seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ungrok.methods import Unlearner
from ungrok.study.claims import Doses
from ungrok.study.claims.base import Read, number
from ungrok.study.grids import Series, series_of
from ungrok.study.inference import FEWEST, Differences, family
from ungrok.study.mediation import MEASURE, headline
from ungrok.study.place import Place
from ungrok.study.recipe import Recipe
from ungrok.study.track import Track, tracks
from ungrok.study.units import Units, units_of

Floats = NDArray[np.float64]

Held = Literal["function", "", "accuracy"]
"""What is the same along a series: the function of rescaled models; test accuracy where it is a second regressor."""

WITH_ACCURACY = 4
"""Points of a seed from which on test accuracy is a second regressor."""

COLUMNS = [
    "family", "axis", "shared", "forget", "method", "outcome", *MEASURE, "held", "points", "censored", "seeds", "slope", "low", "high"
]  # fmt: skip


@dataclass(frozen=True)
class Readings:
    """One quantity along a series.

    Args:
        values: Shape (seeds, points), NaN where there is no value.
        accuracy: Test accuracy of the same models before unlearning, of the same shape.
        place: Forget split, method, outcome and the columns of a measure; those that do not apply are empty.
        censored: Values that are only a lower bound, since the path ended above its target.

    """

    values: Floats
    accuracy: Floats
    place: tuple[str, ...]
    censored: int = 0


def slopes(rows: pd.DataFrame, mechanism: pd.DataFrame, recipe: Recipe, doses: Mapping[str, Doses]) -> pd.DataFrame:
    """Return how costs and measures change for each doubling of a factor, or of the number in which arms differ.

    Per seed it is the slope of a least-squares line against the number's logarithm to base two, and the slope of a series is the
    mean over seeds. Costs are ``updates``, the natural logarithm of the dose at which the first target is reached, and ``damage``, what
    is lost there beyond the oracle in accuracy on bystander classes, or on all test data where there are none. Measures are those
    of :func:`ungrok.study.mediation.headline`, before unlearning.

    Args:
        rows: The rows of a study.
        mechanism: Its table of measures.
        recipe: Its ``controls`` and ``arms`` say which models form a series.
        doses: Per method label, where its paths end; updates are cut off there.

    Returns:
        Columns family, axis, shared, forget, method, outcome (updates, damage or measure), analysis, measure, on, layer, held (see
        :data:`Held`), points (of a series), censored (values that are cut off), seeds, slope, low and high. The ends are those of a
        sign-flip interval of this row alone; they are NaN with fewer than six seeds.

    """
    every_series, table, units = list(series_of(recipe)), list[list[object]](), units_of(recipe)
    paths = {(place, seed): track for seed, place, track in tracks(rows)} if every_series else {}
    for series in every_series:
        every = [*_costs(paths, series, recipe, doses), *_measures(paths, mechanism, series, recipe)]
        for readings in every:
            for held in _held(series):
                table += _row(series, readings, held, recipe.claims.alpha, units)
    return pd.DataFrame(table, columns=COLUMNS)


def _held(series: Series) -> tuple[Held, ...]:
    if series.same_function:
        return ("function",)
    return ("", "accuracy") if len(series.points) >= WITH_ACCURACY else ("",)


def _row(series: Series, readings: Readings, held: Held, alpha: float, units: Units) -> list[list[object]]:
    """Return the row of one quantity; none where no seed has a slope."""
    x = np.log2([value for _, _, value in series.points])
    beside = readings.accuracy if held == "accuracy" else [None] * len(readings.values)
    each = units.means(np.array([slope(x, y, z) for y, z in zip(readings.values, beside, strict=True)]))
    n = int(np.isfinite(each).sum())
    if not n:
        return []
    estimate = family([Differences(each)], len(each), alpha)[0]
    ends = [estimate.low, estimate.high] if n >= FEWEST else [np.nan, np.nan]
    return [
        [
            series.family, series.axis, series.shared, *readings.place, held, len(x), readings.censored, n, estimate.effect, *ends
        ]
    ]  # fmt: skip


def slope(x: ArrayLike, y: ArrayLike, z: ArrayLike | None = None) -> float:
    """Return the slope of y against x by least squares, with an intercept; given z, that of x in the plane through both.

    Args:
        x: Shape (n,).
        y: Shape (n,); points with NaN are left out.
        z: Shape (n,), or None.

    Returns:
        NaN where the points do not fix it: fewer than two values of x, with z fewer than four points, or x a function of z.

    """
    table = np.array([x, y] if z is None else [x, y, z], dtype=np.float64)
    table = table[:, np.isfinite(table).all(axis=0)]
    if z is not None and table.shape[1] < WITH_ACCURACY:
        return np.nan
    centered = table - table.mean(axis=1, keepdims=True) if table.size else table
    regressors = np.delete(centered, 1, axis=0)
    varies = np.abs(regressors).max(axis=1, initial=0.0) > 1e-12
    if not varies[0] or np.linalg.matrix_rank(regressors[varies], tol=1e-9) < varies.sum():
        return np.nan
    return float(np.linalg.lstsq(regressors[varies].T, centered[1], rcond=None)[0][0])


def _costs(
    paths: Mapping[tuple[Place, int], Track], series: Series, recipe: Recipe, doses: Mapping[str, Doses]
) -> Iterator[Readings]:
    for forget in recipe.forget_labels():
        for method in recipe.unlearn:
            if method.label in doses and not method.from_scratch:
                places = [Place(arm, stage, forget, method.label) for arm, stage, _ in series.points]
                cells = [[paths.get((place, seed)) for place in places] for seed in recipe.seeds]
                yield from _of_method(cells, forget, method, recipe.claims.primary, doses[method.label].end)


def _of_method(
    cells: list[list[Track | None]], forget: str, method: Unlearner, target: float | str, end: float
) -> Iterator[Readings]:
    accuracy = _table(cells, lambda track: number(track.start, "TA"))
    if not method.self_stopping:
        cut = sum(track is not None and track.status(target) == "censored" for row in cells for track in row)
        values = _table(cells, lambda track: track.log_dose(target, end))
        yield Readings(values, accuracy, (forget, method.label, "updates", "", "", "", ""), cut)
    values = _table(cells, lambda track: _damage(track, method, target))
    yield Readings(values, accuracy, (forget, method.label, "damage", "", "", "", ""))


def _table(cells: list[list[Track | None]], read: Read) -> Floats:
    """Return what is read from every path, NaN where there is none."""
    values = [[None if track is None else read(track) for track in row] for row in cells]
    return np.array(values, dtype=np.float64)


def _damage(track: Track, method: Unlearner, target: float | str) -> float | None:
    """Return what is lost beyond the oracle where the target is reached, or at the end of a method that stops by itself."""
    name = "TA" if number(track.start, "bystander_accuracy") is None else "bystander_accuracy"
    retrained = number(track.start, f"oracle_{name}")
    now = number(track.end if method.self_stopping else track.at(target), name)
    return None if retrained is None or now is None else retrained - now


def _measures(
    paths: Mapping[tuple[Place, int], Track], mechanism: pd.DataFrame, series: Series, recipe: Recipe
) -> Iterator[Readings]:
    before = headline(mechanism[mechanism["method"] == ""], recipe.analyze)
    accuracy = {(place.arm, place.stage, seed): number(track.start, "TA") for (place, seed), track in paths.items()}
    cells = [[(arm, stage, seed) for arm, stage, _ in series.points] for seed in recipe.seeds]
    held = np.array([[accuracy.get(cell) for cell in row] for row in cells], dtype=np.float64)
    for key, group in before.groupby(["forget", *MEASURE], sort=False):
        value = dict(zip(zip(group["arm"], group["stage"], group["seed"], strict=True), group["value"], strict=True))
        values = np.array([[value.get(cell) for cell in row] for row in cells], dtype=np.float64)
        forget, *measure = map(str, key)
        yield Readings(values, held, (forget, "", "measure", *measure))
