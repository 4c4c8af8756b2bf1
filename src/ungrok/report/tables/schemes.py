"""Tables of schemes that certify what they forget, and of schemes that prepare for it during training."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ungrok.report.format import fixed, number
from ungrok.report.tables.table import Table
from ungrok.report.view import View


def schemes(view: View) -> Iterator[Table]:
    """Yield the tables that a study has."""
    audits = view.results.audits
    if "certified_epsilon" in audits:
        yield _certified(view, audits[audits["certified_epsilon"].notna()])


def _certified(view: View, ends: pd.DataFrame) -> Table:
    groups = ends.groupby(["forget", "method", "arm", "stage"], sort=False)
    rows = [
        [
            view.names.method(method),
            view.label(arm, stage),
            view.names.forget(forget),
            str(len(table)),
            *(number(table[f"certified_{name}"].median()) for name in ("sigma", "epsilon", "delta", "distance")),
            *(fixed(table[name].astype(float).mean(), 3) for name in ("UA", "RA", "TA")),
        ]
        for (forget, method, arm, stage), table in groups
    ]
    return Table(
        "What is certified at the end of each path",
        "No test tells the model from that of the same method after training without the forget set by more than (ε, δ) allows, as long as "
        "nobody knows the seed of the noise. σ is its standard deviation on every weight, r the distance of two Gaussians that are as hard to "
        "tell apart. Accuracies are means over seeds; a certificate says nothing of them.",
        ["method", "stage", "forgetting", "seeds", "σ", "ε", "δ", "r", "UA", "RA", "TA"],
        rows,
        keys=3,
    )
