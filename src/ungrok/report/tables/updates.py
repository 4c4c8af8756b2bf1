"""Tables of the updates that reach a target, and of learning rates chosen per stage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pandas as pd

from ungrok.report.format import MISSING, fixed, level, missing
from ungrok.report.tables.table import Cell, Row, Table, reason
from ungrok.report.view import Reach, View
from ungrok.study.place import Place
from ungrok.study.rates import Grid, grids
from ungrok.study.track import Track


def updates_to_target(view: View) -> Iterator[Table]:
    """Yield one table per forget split of updates to each target, and one of strengths for one-shot methods."""
    targets = view.recipe.claims.targets
    columns = ["method", "stage", *["median [range]", "reached", "nothing to forget", "not reached"] * len(targets)]
    kinds = {"Updates": False, "Strength": True}
    groups = [("", 2), *((level(target), 4) for target in targets)]
    how = "Median and range of the {unit} to each target over the seeds that had something to forget; > x means that all that is known is that the median, or the range, goes beyond x."
    for forget, (unit, one_shot) in product(view.recipe.forget_labels(), kinds.items()):
        rows = []
        for method, (arm, stage) in product(view.methods, view.series):
            reaches = [view.reach(Place(arm, stage, forget, method), target) for target in targets]
            if reaches[0].n and view.one_shot(method) == one_shot:
                cells = (cell for reach in reaches for cell in _reach_cells(reach))
                rows.append([view.names.method(method), view.label(arm, stage), *cells])
        if rows:
            title = f"{unit} to target, forgetting {view.names.forget(forget)}"
            yield Table(title, how.format(unit=unit.lower()), columns, rows, keys=2, groups=groups)


def _reach_cells(reach: Reach) -> Row:
    reached = reached_cell(reach) + (f", no oracle in {reach.undefined}" if reach.undefined else "")
    return [_median_cell(reach), reached, str(reach.nothing), str(reach.censored)]


def reached_cell(reach: Reach) -> str:
    """Return how many paths reached the target, of how many."""
    return f"{len(reach.times)} of {reach.n}"


def _median_cell(reach: Reach) -> Cell:
    return Cell((reach.median(), *([reach.range()] if reach.range() else [])))


def _fall(track: Track, row: dict[str, Any] | None, name: str) -> float:
    return math.nan if row is None or missing(row[name]) else float(track.start[name]) - float(row[name])


def fall_at_target(view: View, place: Place, name: str) -> float:
    """Return the median drop of an accuracy at the primary target, over the seeds that reached it."""
    reach, tracks = view.reach(place), view.tracks(place)
    falls = [_fall(tracks[seed], tracks[seed].at(view.primary), name) for seed in reach.times]
    return float(pd.Series(falls, dtype=float).median())


def best_rate(view: View, arm: str, stage: str, forget: str, grid: Grid) -> float | None:
    """Return the rate with the least median drop of validation accuracy, of those that reach the target in most seeds."""
    falls = {}
    for rate, label in grid.items():
        place = Place(arm, stage, forget, label)
        reach, fall = view.reach(place), fall_at_target(view, place, "validation_accuracy")
        if len(reach.times) * 2 > reach.at_risk and not math.isnan(fall):
            falls[rate] = fall
    return min(falls, key=lambda rate: falls[rate]) if falls else None


def learning_rates(view: View) -> Iterator[Table]:
    """Yield, where a method was given several learning rates, the best per stage beside identical settings."""
    every = grids(view.recipe.unlearn)
    rates = sorted({rate for grid in every.values() for rate in grid})
    columns = [
        "method",
        "stage",
        *(f"lr {rate:g}" for rate in rates),
        "rate",
        "median [range]",
        "reached",
        "validation drop",
        "TA drop",
    ]
    groups = [
        ("", 2),
        ("identical settings: median updates, seeds that reached", len(rates)),
        ("the rate chosen for this stage", 5),
    ]
    how = (
        f"The rate chosen is, of those that reach {level(view.primary)} in most seeds, the one with the least median drop of validation "
        "accuracy there; choosing on the seeds that are then shown is optimistic."
    )
    for forget in view.recipe.forget_labels():
        rows = [
            _rates_row(view, *series, forget, name, grid, rates)
            for name, grid in every.items()
            for series in view.series
            if any(view.tracks(Place(*series, forget, label)) for label in grid.values())
        ]
        if rows:
            yield Table(
                f"Learning rates, forgetting {view.names.forget(forget)}", how, columns, rows, keys=2, groups=groups
            )


def _rates_row(view: View, arm: str, stage: str, forget: str, name: str, grid: Grid, rates: Sequence[float]) -> Row:
    reaches = {rate: view.reach(Place(arm, stage, forget, label)) for rate, label in grid.items()}
    same = [f"{reaches[rate].median()} ({reached_cell(reaches[rate])})" if rate in grid else MISSING for rate in rates]
    row: Row = [view.names.method(name), view.label(arm, stage), *same]
    best = best_rate(view, arm, stage, forget, grid)
    if best is None:
        return [*row, *reason("none in most seeds", 5)]
    place = Place(arm, stage, forget, grid[best])
    falls = [fixed(fall_at_target(view, place, accuracy)) for accuracy in ("validation_accuracy", "TA")]
    return [*row, f"{best:g}", _median_cell(reaches[best]), reached_cell(reaches[best]), *falls]
