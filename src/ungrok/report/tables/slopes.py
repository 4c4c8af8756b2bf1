"""The table of slopes along rescaled checkpoints and grids of arms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ungrok.report.format import MISSING, POINTS, bracketed, fixed, level, number, ratio
from ungrok.report.mechanism import named
from ungrok.report.tables.table import Cell, Row, Table
from ungrok.report.view import View
from ungrok.study.inference import FEWEST
from ungrok.study.mediation import MEASURE
from ungrok.study.slopes import slopes as along_series

KINDS = {"updates": ("updates", ", factor"), "damage": ("damage", f", {POINTS}"), "measure": ("measures", "")}
"""By kind of quantity: its name in a title, and the unit of its slopes; measures have units of their own."""

HELD = {"function": "the function", "accuracy": "test accuracy", "": "nothing"}
"""What is the same along a series, in words."""


def slopes(view: View) -> Iterator[Table]:
    """Yield one table per kind of quantity, with a row per series; none where the recipe has no series."""
    results = view.results
    table = along_series(results.rows, results.mechanism, view.recipe, view.doses)
    if table.empty:
        return
    how = (
        "What each doubling of the factor, or of the number in which the arms differ, changes: the mean over seeds of one least-squares slope "
        f"per seed, with the sign-flip interval of this row alone where there are {FEWEST} seeds. Updates, to {level(view.recipe.claims.primary)}, "
        "are multiplied; paths that did not come that far count with their last dose, so that the true factor is further from 1. Damage is what is "
        "lost there beyond the oracle. Held: rescaled models compute the same function, so that what differs between them is not due to "
        "what they predict; among arms accuracy is held by a second regressor. All rows are exploratory."
    )
    columns = ["family", "of", "differ in", "forgetting", "method", "what", "held", "points", "seeds"]
    for outcome, own in table.groupby("outcome", sort=False):
        rows = [_cells(view, row) for row in own.to_dict("records")]
        title, unit = KINDS[str(outcome)]
        yield Table(f"Slopes along controls and arms: {title}", how, [*columns, f"per doubling{unit}"], rows, keys=3)
        how = "Read as the table above."


def _cells(view: View, row: dict[Any, Any]) -> Row:
    if row["outcome"] == "measure":
        what = ", ".join(part for part in named([row[name] for name in MEASURE]) if part)
    else:
        what = str(row["outcome"])
    points = f"{row['points']} ({row['censored']} cut off)" if row["censored"] else str(row["points"])
    forget, method = (str(row[name]) for name in ("forget", "method"))
    cells = [
        *(str(row[name]) for name in ("family", "shared", "axis")),
        view.names.forget(forget),
        view.names.method(method),
    ]
    return [*(cell or MISSING for cell in cells), what, HELD[row["held"]], points, str(row["seeds"]), _slope(row)]


def _slope(row: dict[Any, Any]) -> str | Cell:
    def text(value: float) -> str:
        if row["outcome"] == "updates":
            return ratio(value)
        return fixed(100 * value, 1) if row["outcome"] == "damage" else number(value)

    if math.isnan(row["low"]):
        return text(row["slope"])
    return Cell((text(row["slope"]), bracketed(text(row["low"]), text(row["high"]))))
