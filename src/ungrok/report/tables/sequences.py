"""The table of requests in sequence: what later ones did to what earlier ones had achieved, and what all of them took."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ungrok.report.format import MISSING, POINTS, fixed, mean_sd, median_range, missing
from ungrok.report.tables.table import Cell, Row, Table
from ungrok.report.view import View
from ungrok.study.plan_sequences import ORACLE, RETRAINED, UNLEARNED
from ungrok.study.sequences import EFFECTS, effects, floors

COSTS = ("updates", "forget_passes", "retain_passes")

COLUMNS = [
    *("method", "stage", "sequences", "own set", "earlier sets", "RA", "TA", "bystander accuracy"),
    *("updates", "forget", "retain"),
]


def sequences(view: View) -> Iterator[Table]:
    """Yield one table per forget split: reversal and erosion after the last request, beside the oracle's own and the floor."""
    count, rows = view.recipe.requests, view.results.sequences
    groups = [("", 3), ("UA", 1), (f"reversal, {POINTS}", 1), (f"erosion, {POINTS}", 3), ("", 1), ("passes", 2)]
    how = (
        f"After request {count}, mean ± standard deviation over the seeds whose sequence came so far. Reversal is how far UA of earlier sets has "
        f"risen since the ends of their own requests, in {POINTS}, the mean over sets; erosion how far an accuracy has fallen since request 1. What "
        "is retained changes with every request, so that only what goes beyond the oracle's own row was done by unlearning; the floor is the "
        "largest distance between two oracles. Updates and passes over the forget sets and the retained data are sums over all requests, medians and ranges."
    )
    for forget in view.recipe.forget_labels():
        here = rows[rows["forget"] == forget]
        if len(here):
            cells = [row for place in view.series for row in _rows(view, here, *place)]
            title = f"After {count} requests in sequence, forgetting {view.names.forget(forget)}"
            yield Table(title, how, COLUMNS, cells, keys=2, groups=groups)


def _rows(view: View, sequences: pd.DataFrame, arm: str, stage: str) -> Iterator[Row]:
    """Yield the rows of one stage: the oracle, the floor, and every method."""
    here = sequences[(sequences["arm"] == arm) & (sequences["stage"] == stage)]
    last = view.recipe.requests
    ends = here[(here["phase"] == last) & (here["of"] == last)]
    after, floor = effects(here), floors(here)
    after, floor = after[after["phase"] == last], floor[floor["phase"] == last]
    for subject, method in ((ORACLE, RETRAINED), *((UNLEARNED, label) for label in view.methods)):
        own, end = (t[(t["subject"] == subject) & (t["method"] == method)] for t in (after, ends))
        began = here[(here["subject"] == subject) & (here["method"] == method)]["seed"].nunique()
        if began:
            name = "oracle" if subject == ORACLE else view.names.method(method)
            values = [Cell(mean_sd(list(end["UA"]))), *(Cell(mean_sd(list(100 * own[e]), 1)) for e in EFFECTS)]
            finished = f"{end['UA'].notna().sum()} of {began}"
            yield [name, view.label(arm, stage), finished, *values, *(_cost(end[cost]) for cost in COSTS)]
        if subject == ORACLE and len(floor):
            (noise,) = floor.to_dict("records")
            apart = [MISSING if missing(noise[name]) else fixed(100 * noise[name], 1) for name in EFFECTS]
            yield ["floor", view.label(arm, stage), MISSING, MISSING, *apart, *[MISSING] * len(COSTS)]


def _cost(values: pd.Series[float]) -> str:
    return median_range([float(value) for value in values.dropna()])
