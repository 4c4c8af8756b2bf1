"""The table of variance components, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from ungrok.report.tables.components import components

LOGS = {0: (1.0, 3.0), 1: (5.0, 9.0)}
"""Log updates of both draws by seed: mean squares of 25 between seeds and 5 between draws."""


def drawn(study, logs, **changes):
    """Return a study whose path from the grokked stage reaches its target at these updates, by seed and draw."""
    view = study(
        hit=lambda cell: None, options={"absent": lambda cell: cell.stage == "pre_grok"},
        seeds=[0, 1], claims={"compare": [], "targets": [0.1]}, forget_draws=2, **changes,
    )  # fmt: skip
    rows = view.results.rows.drop(columns="updates")
    start = rows[rows["dose"] == 0]
    parts = []
    for draw in (0, 1):
        ends = start["seed"].map(lambda seed, draw=draw: math.exp(logs[seed][draw]))
        end = start.assign(dose=ends, RA=0.9, TA=0.8, bystander_accuracy=0.8)
        end["reached_0.1"] = True
        parts.append(pd.concat([start, end]).assign(draw=draw))
    table = pd.concat(parts)
    table["updates"] = table["dose"].round().astype("Int64")
    doses = {name: one._replace(end=1e5) for name, one in view.doses.items()}
    return replace(view, results=replace(view.results, rows=table), doses=doses)


def test_deviations_by_source(study, plain):
    table, drops = components(drawn(study, LOGS))
    assert list(table.columns) == ["model", "forgetting", "method", "what", "seeds", "seed", "draw"]
    assert drops.title == "Sources of variation: drops, percentage points"
    start = ["after grokking", "one class", "gradient ascent"]
    assert [plain(row) for row in table.rows] == [[*start, "updates", "2 of 2", "3.162", "2.236"]]
    assert [plain(row) for row in drops.rows] == [
        [*start, "RA drop", "2 of 2", "0.000", "0.000"],
        [*start, "TA drop", "2 of 2", "0.000", "0.000"],
        [*start, "bystander accuracy drop", "2 of 2", "0.000", "0.000"],
    ]
    assert "UA ≤ 0.1" in table.how
    assert "the data" not in table.how
    own, _ = components(drawn(study, LOGS, data_seed="per_seed"))
    assert "seed is training, the data," in own.how


def test_a_negative_estimate_is_shown_as_such(study, plain):
    table, _ = components(drawn(study, {0: (0.0, 10.0), 1: (0.0, 10.0)}))
    assert plain(table.rows[0])[-2:] == ["0 (negative)", "7.071"]


def test_no_table_unless_the_recipe_asks(study):
    assert list(components(study())) == []
