"""Searches: which learning rate suits a side of a comparison, and whether a study has tried enough of them to tell.

A recipe names the methods whose rates, or strengths, are searched for (:class:`ungrok.study.recipe_search.Search`). The study then
runs each of them at its own rate, at half and at twice that, and goes on by factors of two as long as somebody's best rate lies
at an end of the grid. What is tried depends on the recipe and on finished jobs alone, in whatever order these have finished.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise

import pandas as pd

from ungrok.methods import Iterative, OneShot, Unlearner
from ungrok.study.job import AnyJob
from ungrok.study.jobs import Evaluate
from ungrok.study.plan import Plan, make_plan
from ungrok.study.rates import Extent, Grid, at_rates, rated, with_strengths
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_search import search_target
from ungrok.study.store import Store
from ungrok.study.track import Row, Track

ROUNDING = 1e-9
"""Accuracies are ratios of counts; their differences are compared up to this, which is far below one example."""

Tracks = Mapping[float, Track]
"""The paths of one seed from one model on one forget split, by the rate at which the method was run."""


@dataclass(frozen=True)
class Choice:
    """The rate that suits one seed and side.

    Args:
        rate: The rate.
        updates: Updates to the target at that rate.
        damage: What has been lost there, as an accuracy; see :func:`chosen`.

    """

    rate: float
    updates: float
    damage: float


def chosen(paths: Tracks, target: float, damage: float) -> Choice | None:
    """Choose a rate for one seed and side from its own paths, on validation data.

    Of the rates that reach the target with at most ``damage``, that with the fewest updates is taken; where there is none, of all
    that reach it, that with the least damage. Ties go to the lower rate. Damage is how far validation accuracy lies below the
    oracle's where the target is first reached; where there is no oracle or no validation data, how far the accuracy on retained
    data has fallen. A model whose numbers are no longer finite has an accuracy of 0. There is no choice where no rate reaches the
    target.

    Args:
        paths: Paths by rate.
        target: Level of UA; the paths' rows say whether it has been reached.
        damage: Largest damage that is accepted, as an accuracy.

    """
    return best({rate: (path, path.at(target)) for rate, path in paths.items()}, damage)


def best(places: Mapping[float, tuple[Track, Row | None]], damage: float) -> Choice | None:
    """Choose a rate as :func:`chosen` does, given by rate the path and the row at which it got where it should; None where it did not."""
    reached = [
        Choice(rate, float(row["dose"]), _damage(path, row))
        for rate, (path, row) in sorted(places.items())
        if row is not None
    ]
    harmless = [choice for choice in reached if choice.damage <= damage + ROUNDING]
    if harmless:
        return min(harmless, key=lambda choice: choice.updates)
    return min(reached, key=lambda choice: choice.damage, default=None)


def _damage(path: Track, row: Row) -> float:
    before, name = row.get("oracle_validation_accuracy"), "validation_accuracy"
    if pd.isna(before) or pd.isna(path.start[name]):
        before, name = path.start["RA"], "RA"
    return float(before) - (0.0 if pd.isna(row[name]) else float(row[name]))


def grid_of(labels: Iterable[str], label: str) -> Grid:
    """Return the labels of one method at the rates that a search has tried, by rate; empty for a method without a search.

    Args:
        labels: Labels of paths, as they stand in the rows of a study.
        label: That of the method. Its own rate does not stand in it: it is the one that is missing between the others.

    """
    there = set(labels)
    beside = sorted((rate, name) for name in there if (rate := _rate_in(name, label)) is not None)
    between = [2 * low for (low, _), (high, _) in pairwise(beside) if math.isclose(high, 4 * low, rel_tol=1e-4)]
    if label not in there or len(between) != 1:
        return {}
    return dict(sorted([*beside, (float(f"{between[0]:g}"), label)]))


def _rate_in(name: str, label: str) -> float | None:
    """Return the rate in the name that a method has at another rate than its own; None for any other name."""
    try:
        rate = float(name.removeprefix(rated(label, 0)[:-1]))
    except ValueError:
        return None
    return rate if rated(label, rate) == name else None


Walked = dict[str, Track | None]
"""The paths that were read from a store, by key of the job; None for one without rows."""


def grow(plan: Plan, store: Store, walked: Walked | None = None) -> list[AnyJob]:
    """Take the searches of a plan one round further, and return the jobs that this adds.

    None are added where no search goes on, or where jobs that it depends on are not finished. A longer list of strengths takes
    the place of a shorter one, whose jobs leave the plan.

    Args:
        plan: Is changed.
        store: Holds the finished jobs.
        walked: Paths of earlier rounds, which are not read again; those of this round are added.

    Raises:
        DamagedFile: If a file of a finished job is damaged.

    """
    search = plan.recipe.search
    if search is None:
        return []
    sides = _Sides(plan, store, {} if walked is None else walked)
    target, extents = search_target(plan.recipe.claims), dict(plan.extents)
    places = [(label, forget) for label in search.settings for forget in plan.recipe.forget_labels()]
    if not all(sides.finished(*place) for place in places):
        return []
    for label, setting in search.settings.items():
        for forgets in _together(plan.recipe, setting):
            own = [side for forget in forgets for side in sides.of(label, forget)]
            if setting == "lr":
                wanted = rates_wanted(own, target, search.damage)
            else:
                wanted = strengths_wanted([path for side in own for path in side.values()], target)
            before = plan.extent(label, forgets[0])
            after = before.extended(*wanted, _room(plan, label, forgets[0]))
            if after != before:
                extents |= {(label, forget): after for forget in forgets}
    return plan.grow(extents) if extents != plan.extents else []


def regrow(plan: Plan, store: Store) -> None:
    """Take the searches of a plan as far as the finished jobs of a store tell how.

    Raises:
        DamagedFile: If a file of a finished job is damaged.

    """
    walked: Walked = {}
    while grow(plan, store, walked):
        pass


def largest(recipe: Recipe) -> Plan:
    """Return a plan with as many paths as that of a recipe can come to have."""
    plan = make_plan(recipe)
    extents = {}
    for label in recipe.search.settings if recipe.search else ():
        for forget in recipe.forget_labels():
            first = plan.extent(label, forget)
            extents[label, forget] = Extent(first.below, first.above + max(0, _room(plan, label, forget)))
    return make_plan(recipe, extents)


def rates_wanted(sides: Iterable[Tracks], target: float, damage: float) -> tuple[int, int]:
    """Return how many sides want a rate below those of their grid, and how many one above.

    A side wants a further rate where the one that suits it is the lowest or the highest. If no rate reaches the target, it wants a
    higher one; or a lower one, if numbers are no longer finite at the lowest, and none, if they are not at the highest.

    Args:
        sides: The paths of every seed and side by rate; those with nothing to forget want nothing.
        target: As for :func:`chosen`.
        damage: As for :func:`chosen`.

    """
    lower = higher = 0
    for paths in sides:
        least, most = (paths[end(paths)] for end in (min, max))
        if least.status(target) == "nothing":
            continue
        best = chosen(paths, target, damage)
        if best is None:
            lower += least.end["diverged"]
            higher += not (least.end["diverged"] or most.end["diverged"])
        else:
            lower += best.rate == min(paths)
            higher += best.rate == max(paths)
    return lower, higher


def strengths_wanted(paths: Iterable[Track], target: float) -> tuple[int, int]:
    """Return how many paths of a one-shot method want a strength below those of their list, and how many one above.

    A path wants a weaker one where its first strength reaches the target or leaves numbers that are not finite, and a stronger one
    where it ends short of the target with finite numbers. One with nothing to forget wants nothing.

    """
    lower = higher = 0
    for path in paths:
        status, first, last = path.status(target), path.places[1], path.end
        if status != "nothing":
            lower += path.at(target) is first or first["diverged"]
            higher += status == "censored" and not last["diverged"]
    return lower, higher


class _Sides:
    """The paths that the searches of a plan go by.

    Args:
        plan: The plan.
        store: Holds its jobs.
        walked: Paths that were read before; those that are read here are added.

    """

    def __init__(self, plan: Plan, store: Store, walked: Walked) -> None:
        self._plan = plan
        self._store = store
        self._walked = walked
        self._keys: dict[tuple[str, str], dict[tuple[int, str, str], str]] = {}
        for path in plan.paths:
            if path.stage in plan.recipe.stages_of(path.arm):  # and is not a step that only ``along`` unlearns from
                by_side = self._keys.setdefault((path.method, path.forget), {})
                by_side[path.seed, path.arm, path.stage] = path.rows

    def _grid(self, label: str, forget: str) -> Grid:
        """Return the labels of a method by rate; that of a one-shot method under 0."""
        method = _method(self._plan.recipe, label)
        if not isinstance(method, Iterative):
            return {0.0: label}
        return {rate: each.label for rate, each in at_rates(method, self._plan.extent(label, forget)).items()}

    def finished(self, label: str, forget: str) -> bool:
        """Return whether all paths of a method on a forget split are finished."""
        keys = (self._keys[name, forget].values() for name in self._grid(label, forget).values())
        return all(self._store.has(key) for key in chain(*keys))

    def of(self, label: str, forget: str) -> list[dict[float, Track]]:
        """Return the paths of a method on a forget split by rate, for every seed, arm and stage that exists."""
        grid = self._grid(label, forget)
        sides = []
        for side in self._keys[label, forget]:
            paths = {rate: self._path(self._keys[name, forget][side]) for rate, name in grid.items()}
            there = {rate: path for rate, path in paths.items() if path is not None}
            if len(there) == len(paths):
                sides.append(there)
        return sides

    def _path(self, key: str) -> Track | None:
        if key not in self._walked:
            rows = self._store.open(key, Evaluate, tensors=False).result.rows
            self._walked[key] = Track(None, rows) if rows else None
        return self._walked[key]


def _together(recipe: Recipe, setting: str) -> list[list[str]]:
    """Return the forget splits that share a grid: all share one of strengths, so that the paths of a method end at one dose."""
    forgets = recipe.forget_labels()
    return [forgets] if setting == "alpha" else [[forget] for forget in forgets]


def _method(recipe: Recipe, label: str) -> Unlearner:
    return recipe.unlearn[recipe.unlearn_labels().index(label)]


def _room(plan: Plan, label: str, forget: str) -> int:
    """Return how many rates or strengths a grid may still be given."""
    method, extent, search = _method(plan.recipe, label), plan.extent(label, forget), plan.recipe.search
    assert search is not None
    if isinstance(method, OneShot):
        return 2 * search.most - len(with_strengths(method, extent).doses())
    return search.most - (extent.below + 1 + extent.above)
