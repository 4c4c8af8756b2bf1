"""Tables of schemes that certify what they forget, and of schemes that prepare for it during training."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ungrok.evaluate.gap import NAMES
from ungrok.report.format import fixed, number
from ungrok.report.tables.table import Table
from ungrok.report.view import View


def schemes(view: View) -> Iterator[Table]:
    """Yield the tables that a study has."""
    audits = view.results.audits
    if "certified_epsilon" in audits:
        yield _certified(view, audits[audits["certified_epsilon"].notna()])
    if len(view.results.schemes):
        yield _prepared(view, view.results.schemes)


def _certified(view: View, ends: pd.DataFrame) -> Table:
    groups = ends.groupby(["forget", "method", "arm", "stage"], sort=False)
    rows = []
    for place, table in groups:
        forget, method, arm, stage = map(str, place)
        medians = (number(table[f"certified_{name}"].median()) for name in ("sigma", "epsilon", "delta", "distance"))
        means = (fixed(table[name].astype(float).mean(), 3) for name in NAMES)
        where = view.names.method(method), view.label(arm, stage), view.names.forget(forget)
        rows.append([*where, str(len(table)), *medians, *means])
    return Table(
        "What is certified at the end of each path",
        "No test tells the model from that of the same method after training without the forget set by more than (ε, δ) allows, as long as "
        "nobody knows the seed of the noise. σ is its standard deviation on every weight, r the distance of two Gaussians that are as hard to "
        "tell apart. Accuracies are means over seeds; a certificate says nothing of them.",
        ["method", "stage", "forgetting", "seeds", "σ", "ε", "δ", "r", *NAMES],
        rows,
        keys=3,
    )


def _prepared(view: View, requests: pd.DataFrame) -> Table:
    rows = []
    for (forget, scheme), table in requests.groupby(["forget", "scheme"], sort=False):
        means = table.drop(columns=["scheme", "forget", "diverged"]).astype("float64").mean()
        whole = means["training_passes"] + means["passes"]
        rows.append(
            [
                view.names.method(str(scheme)),
                view.names.forget(str(forget)),
                str(len(table)),
                f"{number(means['hit'])} of {number(means['members'])}",
                *(number(value) for value in (means["training_passes"], means["passes"], whole)),
                *(number(means[name]) for name in ("training_seconds", "seconds")),
                *(fixed(means[f"before_{name}"], 3) for name in NAMES),
                *(fixed(means[name], 3) for name in NAMES),
                *(fixed(means[f"oracle_{name}"], 3) for name in NAMES),
            ]
        )
    return Table(
        "Schemes that prepare during training",
        "Several models are trained apart and asked together; a request trains again those that have read what is to be forgotten, from before they "
        "did, so that forgetting is exact. The oracle is one model trained to the last step without the forget set: it costs a whole training a request. "
        "Passes are examples read over training examples; both columns together are what training and one request cost. Means over seeds.",
        [
            "scheme",
            "forgetting",
            "seeds",
            "trained again",
            "training",
            "a request",
            "both",
            "training",
            "a request",
            *NAMES * 3,
        ],
        rows,
        keys=2,
        groups=[("", 4), ("passes", 3), ("seconds", 2), ("before", 3), ("after", 3), ("oracle", 3)],
    )
