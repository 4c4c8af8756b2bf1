"""The table of checkpoints by level, matched and rescaled: what was to be equal, and how far from equal it is."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ungrok.report.format import MISSING, bracketed, missing, number
from ungrok.report.tables.slopes import slopes
from ungrok.report.tables.table import Cell, Row, Table
from ungrok.report.view import View


def controls(view: View) -> Iterator[Table]:
    """Yield a table with a row per checkpoint by level, matched or rescaled, of an arm, where there are any, and the slopes along series."""
    if not view.results.controls.empty:
        yield _checkpoints(view)
    yield from slopes(view)


def _checkpoints(view: View) -> Table:
    table = view.results.controls
    rows = [
        [view.label(str(arm), str(stage)), *_cells(group)]
        for (arm, stage), group in table.groupby(["arm", "stage"], sort=False)
    ]
    how = (
        "Means over seeds. Level: the first evaluated step at which a signal reaches it; how far beyond it the signal is there says how dense "
        "the evaluated steps are. Matched: the step at which what is to be equal is nearest to its value at the other checkpoint; the mismatch is "
        "a difference of accuracies, else relative, with its range over all seeds, and a seed beyond the tolerance has no checkpoint. "
        "Rescaled: the values are weight norms, the mismatch the largest change of a logit relative to the largest logit."
    )
    columns = ["checkpoint", "equal", "to", "tolerance", "seeds", "wanted", "found", "mismatch"]
    return Table("Checkpoints by level, matched and rescaled", how, columns, rows, keys=3)


def _cells(group: pd.DataFrame) -> Row:
    first, off = group.iloc[0], group["mismatch"].dropna()
    named = [
        str(first["equal"]),
        str(first["to"]),
        MISSING if missing(first["tolerance"]) else number(float(first["tolerance"])),
    ]
    there = f"{int(group['step'].notna().sum())} of {len(group)}"
    if off.empty:
        return [*named, there, MISSING, MISSING, MISSING]
    means = [number(float(group[name].mean())) for name in ("wanted", "found")]
    spread = bracketed(number(float(off.min())), number(float(off.max())))
    return [*named, there, *means, Cell((number(float(off.mean())), spread))]
