"""The table of where paths end: attacks on the models there, and their distance from the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from ungrok.evaluate.membership import ATTACKS, READING
from ungrok.report.format import MISSING, fixed, missing, number
from ungrok.report.tables.table import NOTHING, Cell, Row, Table
from ungrok.report.view import View
from ungrok.study.place import Place

AUCS = [f"{name}_auc" for name in ATTACKS]

DISTANCES = [
    *(f"{measure}_{part}" for measure in ("js_divergence", "disagreement", "activation_distance") for part in ("forget", "test")),
    "tug_of_war",
    "tug_of_war_membership",
]  # fmt: skip

PASSES = ["forget_passes", "retain_passes"]

SHARES = ["relative_forgetting", *PASSES]

GROUPS = [
    ("", 3),
    ("membership inference, AUC", len(AUCS)),
    ("JS divergence (bits)", 2),
    ("disagreement", 2),
    ("activation distance", 2),
    ("tug of war", 2),
    ("", 1),
    ("passes", 2),
]

COLUMNS = [
    *("method", "stage", "finite"),
    *(name.replace("_", " ").replace("svc", "SVC") for name in ATTACKS),
    *("forget", "test") * 3,
    *("UA", "MIA"),
    "share of UA lost",
    *("forget", "retain"),
]

HOW = (
    f"Medians over the seeds whose path ended in finite numbers. {READING} The oracle's own rows are what forgetting should lead to; “none” is the model before unlearning. "
    "Divergence, disagreement and distance compare predictions with the oracle's, on the forget and on the test data: 0 is equal. Tug of "
    "war is the product of 1 − |difference to the oracle| over UA (or the loss attack’s AUC), RA and TA: 1 is the oracle. Intervals and "
    "true-positive rates stand in audits.csv."
)


def ends(view: View) -> Iterator[Table]:
    """Yield one table per forget split: the end of each path against the oracle."""
    audits = {
        tuple(map(str, key)): table for key, table in view.results.audits.groupby(["forget", "arm", "stage", "method"])
    }
    for forget in view.recipe.forget_labels():
        tables = {
            (method, place): audits[forget, *place, method]
            for method in view.methods
            for place in view.series
            if (forget, *place, method) in audits
        }
        firsts = {place: table for (_, place), table in reversed(tables.items())}
        places = [place for place in view.series if place in firsts]
        rows = [["oracle", view.label(*place), *_oracle_cells(firsts[place])] for place in places]
        rows += [[NOTHING, view.label(*place), *_start_cells(view, *place, forget)] for place in places]
        names = [*AUCS, *DISTANCES, *SHARES]
        rows += [
            [view.names.method(method), view.label(*place), *_cells(table, names)]
            for (method, place), table in tables.items()
        ]
        if rows:
            title = f"At the end of each path, against the oracle, forgetting {view.names.forget(forget)}"
            yield Table(title, HOW, COLUMNS, rows, keys=2, groups=GROUPS)


def _cells(table: pd.DataFrame, names: Sequence[str]) -> Row:
    finite = int((~table["diverged"].astype(bool)).sum())
    medians = [_median(list(table[name]), finite, number if name in PASSES else fixed) for name in names]
    return [f"{finite} of {len(table)}", *medians]


def _median(values: Sequence[Any], expected: int, shown: Callable[[Any], str] = fixed) -> str | Cell:
    """Return the median of the values that are there, and their number where it is smaller than expected."""
    there = [float(value) for value in values if not missing(value)]
    if not there:
        return MISSING
    some = (f"({len(there)} of {len(values)})",) if len(there) < expected else ()
    return Cell((shown(pd.Series(there).median()), *some))


def _oracle_cells(table: pd.DataFrame) -> Row:
    aucs = [_median(list(table[f"oracle_{name}"]), len(table)) for name in AUCS]
    return [MISSING, *aucs, *[MISSING] * (len(DISTANCES) + len(SHARES))]


def _start_cells(view: View, arm: str, stage: str, forget: str) -> Row:
    every = (view.tracks(Place(arm, stage, forget, method)) for method in view.methods)
    tracks = next(tracks for tracks in every if tracks)
    loss = _median([track.start["membership_auc"] for track in tracks.values()], len(tracks))
    return [MISSING, loss, *[MISSING] * (len(COLUMNS) - 4)]
