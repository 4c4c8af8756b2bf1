"""Tables of how far methods end from the oracle, and how they rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ungrok.evaluate.gap import NAMES, oracle_gap
from ungrok.report.format import MISSING, fixed, level, mean_sd, missing
from ungrok.report.tables.table import NOTHING, Cell, Row, Table
from ungrok.report.tables.updates import reached_cell
from ungrok.report.view import View
from ungrok.study.place import Place


def oracle_gaps(view: View) -> Iterator[Table]:
    """Yield one table per forget split: where each method ended, beside the retrained oracle."""
    names = ["UA", "RA", "TA", "gap"]
    groups = [("", 2), (f"at {level(view.primary)}", 5), ("at the matched dose", 4), ("at rewind", 4)]
    how = (
        "Mean ± standard deviation over seeds; gap is the mean distance of UA, RA and TA from those of the retrained oracle, whose own "
        "rows repeat under each head and give as gap the noise floor: its distance from a second oracle of another seed."
    )
    for forget in view.recipe.forget_labels():
        rows = [row for series in view.series for row in _oracle_rows(view, *series, forget)]
        for method in view.methods:
            rows += [
                _gap_row(view, Place(*series, forget, method))
                for series in view.series
                if view.tracks(Place(*series, forget, method))
            ]
        if rows:
            columns = ["method", "stage", "reached", *names, *names, *names]
            yield Table(
                f"Oracle gap, forgetting {view.names.forget(forget)}",
                how,
                columns,
                rows,
                keys=2,
                groups=groups,
            )


def _oracle_rows(view: View, arm: str, stage: str, forget: str) -> list[Row]:
    oracles = view.results.oracles
    here = oracles[(oracles["arm"] == arm) & (oracles["stage"] == stage) & (oracles["forget"] == forget)]
    if here[list(NAMES)].isna().all(axis=None):
        return []
    floor = noise_floor(here)
    last = Cell((fixed(sum(floor) / len(floor)), f"n = {len(floor)}")) if floor else MISSING
    values = [*(Cell(mean_sd(list(here[name]))) for name in NAMES), last]
    return [["oracle", view.label(arm, stage), MISSING, *values, *values, *values]]


def noise_floor(oracles: pd.DataFrame) -> list[float]:
    """Return, for each row that has a second oracle, the mean absolute difference of UA, RA and TA between the two."""
    if "second_UA" not in oracles:
        return []
    pairs = [({n: row[n] for n in NAMES}, {n: row[f"second_{n}"] for n in NAMES}) for row in oracles.to_dict("records")]
    known = [pair for pair in pairs if not any(missing(value) for side in pair for value in side.values())]
    return [gap for gap in (oracle_gap(*pair) for pair in known) if gap is not None]


def _gap_row(view: View, place: Place) -> Row:
    tracks = list(view.tracks(place).values())
    hits = [row for row in (t.at(view.primary) for t in tracks if t.status(view.primary) == "reached") if row]
    matched = [t.at_dose(view.doses[place.method].matched) for t in tracks]
    rewound = [t.rewound() for t in tracks]
    cells = [_places(hits), _places(matched), _places(rewound)]
    return [
        view.names.method(place.method),
        view.label(place.arm, place.stage),
        reached_cell(view.reach(place)),
        *(cell for group in cells for cell in group),
    ]


def _places(rows: Sequence[dict[str, Any] | None]) -> list[Cell]:
    return [Cell(mean_sd([None if row is None else row[name] for row in rows])) for name in (*NAMES, "oracle_gap")]


def ranking(view: View) -> Iterator[Table]:
    """Yield one table per forget split: methods by their distance from the oracle, at every stage."""
    how = (
        "Each path is read at the place that rewinding selects, which needs no oracle and no test data, and at its end; methods are "
        "ranked by the mean gap, and stand in the order of their mean rank when rewound. “none” is the model as it was: a method below it is "
        "worse than doing nothing. Rewinding presumes a path that starts from the trained model; methods that start from fresh weights "
        "(retrain, exact_unlearning_k) are to be read at their end. Mean ± standard deviation over seeds; no rank where no seed has a gap."
    )
    for forget in view.recipe.forget_labels():
        places = {series: _ranked(view, *series, forget) for series in view.series}
        methods = [m for m in (*view.methods, NOTHING) if any(m in rows for rows, _ in places.values())]
        if len(methods) > 2:
            ranks = {series: (_ranks(rewound), _ranks(ends)) for series, (rewound, ends) in places.items()}
            methods.sort(key=lambda m: sum(rewound.get(m, len(methods)) for rewound, _ in ranks.values()))
            rows = [
                [view.names.method(m), *(c for s in view.series for c in _rank_cells(places[s], ranks[s], m))]
                for m in methods
            ]
            groups = [("", 1), *((view.label(*series), 5) for series in view.series)]
            columns = ["method", *["rank rewound", "gap", "UA", "rank at the end", "gap"] * len(view.series)]
            yield Table(
                f"Methods ranked, forgetting {view.names.forget(forget)}",
                how,
                columns,
                rows,
                groups=groups,
            )


MethodRows = dict[str, list[dict[str, Any]]]
"""By method, one row per seed."""


def _ranked(view: View, arm: str, stage: str, forget: str) -> tuple[MethodRows, MethodRows]:
    """Return each method's rows at the rewound places and at the ends; without a method both are the start."""
    rewound: MethodRows = {}
    ends: MethodRows = {}
    for method in view.methods:
        tracks = list(view.tracks(Place(arm, stage, forget, method)).values())
        if tracks:
            rewound[method] = [track.rewound() or dict.fromkeys(("UA", "oracle_gap")) for track in tracks]
            ends[method] = [dict(track.rows.iloc[-1]) for track in tracks]
            rewound[NOTHING] = ends[NOTHING] = [track.start for track in tracks]
    return rewound, ends


def _ranks(rows: MethodRows) -> dict[str, int]:
    gaps = {m: [row["oracle_gap"] for row in own if not missing(row["oracle_gap"])] for m, own in rows.items()}
    means = {method: sum(values) / len(values) for method, values in gaps.items() if values}
    return {method: 1 + sum(other < mean for other in means.values()) for method, mean in means.items()}


def _rank_cells(places: tuple[MethodRows, MethodRows], ranks: tuple[dict[str, int], ...], method: str) -> Row:
    rewound, ends = (rows.get(method, []) for rows in places)
    first, last = (str(rank[method]) if method in rank else MISSING for rank in ranks)
    gap, ua, end = (
        Cell(mean_sd([row[name] for row in rows]))
        for rows, name in ((rewound, "oracle_gap"), (rewound, "UA"), (ends, "oracle_gap"))
    )
    return [first, gap, ua, last, end]
