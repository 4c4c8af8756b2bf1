"""Tables of what grokking cost in training, and when deletion requests earn it back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ungrok.report.format import MISSING, level, median_range, missing, number
from ungrok.report.tables.table import Row, Table, reason
from ungrok.report.view import View
from ungrok.study.place import Comparison, Place
from ungrok.study.recipe_blocks import Side
from ungrok.train.stages import stage_name


@dataclass(frozen=True)
class ExtraTraining:
    """What training on from one stage to another cost: per seed, extra steps and, where they are known, extra seconds."""

    steps: list[float]
    seconds: list[float]


def extra_training(view: View, left: Side, right: Side) -> ExtraTraining:
    """Return the extra steps and seconds of the right stage, for the seeds that have both."""
    timings = view.results.timings
    per = dict(zip(timings["key"], timings["seconds_per_update"].astype(float), strict=True))
    rows = {(row["arm"], row["seed"]): row for row in view.results.transitions.to_dict("records")}
    cost = ExtraTraining([], [])
    for seed in view.recipe.seeds:
        if any((side.arm, seed) not in rows for side in (left, right)):
            continue
        ends = [rows[side.arm, seed][f"stage_{stage_name(side.stage)}"] for side in (left, right)]
        if not any(map(missing, ends)):
            pace = [per[view.plan.trajectories[side.arm, seed]] for side in (left, right)]
            cost.steps.append(float(ends[1] - ends[0]))
            seconds = ends[1] * pace[1] - ends[0] * pace[0]
            if not math.isnan(seconds):
                cost.seconds.append(seconds)
    return cost


def break_even(extra_seconds: float, saved_per_request: float) -> str:
    """Return after how many deletion requests the extra training has paid for itself."""
    if math.isnan(extra_seconds) or math.isnan(saved_per_request):
        return MISSING
    if saved_per_request <= 0:
        return "never: the later stage needs more" if saved_per_request < 0 else "never: both need the same"
    return "at once" if extra_seconds <= 0 else f"{math.ceil(extra_seconds / saved_per_request):,}"


def training_cost(view: View) -> Table | None:
    """Return what each comparison's later stage cost in training, or None where nothing is compared."""
    rows = []
    for label, sides in {view.names.comparison(one): one.sides for one in view.comparisons}.items():
        cost = extra_training(view, *sides)
        rows.append([label, str(len(cost.steps)), median_range(cost.steps), median_range(cost.seconds)])
    how = "Median and range over seeds of how much longer the second stage trained; seconds include evaluating and saving on the way."
    columns = ["comparison", "seeds", "extra training steps", "extra seconds"]
    return Table("Extra training", how, columns, rows) if rows else None


def request_cost(view: View) -> Table | None:
    """Return what a deletion request costs from either stage, or None where no method ever reached the target from both."""
    rows = []
    for comparison in view.comparisons:
        extra = float(pd.Series(extra_training(view, *comparison.sides).seconds, dtype=float).median())
        for method in view.methods:
            places = comparison.places(method)
            if not view.one_shot(method) and all(view.tracks(place) for place in places):
                rows.append([*_named(view, comparison, method), *_request_cells(view, places, extra)])
    how = (
        f"Median updates to {level(view.primary)} over the seeds in which both stages reached it, times the method's seconds per update; "
        "the last column is how many deletion requests earn the extra training back. One-shot methods make no updates and are left out."
    )
    columns = [
        "comparison",
        "forgetting",
        "method",
        "both reached",
        "updates before",
        "updates after",
        "seconds per update",
        "seconds saved per request",
        "requests to break even",
    ]
    return Table("Deletion requests", how, columns, rows, keys=3) if rows else None


def _named(view: View, comparison: Comparison, method: str) -> list[str]:
    return [view.names.comparison(comparison), view.names.splits(comparison), view.names.method(method)]


def _request_cells(view: View, places: Sequence[Place], extra: float) -> Row:
    before, after = (view.reach(place) for place in places)
    both = [seed for seed in before.times if seed in after.times]
    count = f"{len(both)} of {min(before.n, after.n)}"
    if not both:
        return [count, *reason("never reached from both", 5)]
    times = pd.DataFrame({"left": before.times, "right": after.times}).loc[both]
    per = seconds_per_update(view, places)
    saved = float((times["left"] - times["right"]).median()) * per
    return [
        count,
        *(number(times[side].median()) for side in times),
        number(per),
        number(saved),
        break_even(extra, saved),
    ]


def seconds_per_update(view: View, places: Sequence[Place]) -> float:
    """Return the median seconds per update of the paths from these places."""
    keys = [jobs.path for jobs in view.plan.paths if Place(jobs.arm, jobs.stage, jobs.forget, jobs.method) in places]
    timings = view.results.timings
    return float(timings.loc[timings["key"].isin(keys), "seconds_per_update"].astype(float).median())
