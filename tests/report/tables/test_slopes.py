"""The table of slopes, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from ungrok.report.tables.slopes import slopes
from ungrok.study.results import MECHANISM

FACTORS = {"grokked": 1, "louder x2": 2, "louder x4": 4}
CHANGES = {
    "controls": {"louder": {"kind": "rescaled", "stage": "grokked", "factor": [2, 4]}},
    "stages": ["grokked", "louder"],
    "claims": {"compare": [], "targets": [0.1]},
}


def hit(cell):
    """Twice the updates a doubling, as the report's hand-made paths reach their target at this dose."""
    return 10.0 * FACTORS[cell.stage]


def test_a_doubling_of_updates_and_no_damage(study, plain):
    view = study(hit=hit, **CHANGES)
    measured = [
        dict.fromkeys(MECHANISM) | {
            "seed": seed, "arm": "base", "stage": stage, "forget": "class", "method": "", "analysis": "norm", "null": "",
            "measure": "weight_norm", "on": "weights", "layer": "model", "value": 5.0,
        }
        for seed in view.recipe.seeds for stage in FACTORS
    ]  # fmt: skip
    rows = view.results.rows.assign(oracle_bystander_accuracy=0.75)  # from 0.8 where the target is reached
    view = replace(view, results=replace(view.results, rows=rows, mechanism=pd.DataFrame(measured)))
    tables = list(slopes(view))
    start = ["louder", "base", "factor", "one class"]
    assert [[plain(row) for row in table.rows] for table in tables] == [
        [[*start, "gradient ascent", "updates", "the function", "3", "8", "2/[2, 2]"]],
        [[*start, "gradient ascent", "damage", "the function", "3", "8", "0.0/[0.0, 0.0]"]],
        [[*start, "–", "weight norm, weights", "the function", "3", "8", "0/[0, 0]"]],
    ]
    units = [table.columns[-1] for table in tables]
    assert units == ["per doubling, factor", "per doubling, percentage points", "per doubling"]
    assert "UA ≤ 0.1" in tables[0].how


def test_values_that_are_cut_off_are_counted_and_few_seeds_have_no_interval(study, plain):
    view = study(hit=lambda cell: None if cell.stage == "louder x4" else 25.0, seeds=[0, 1], **CHANGES)
    table = next(slopes(view))
    (row,) = (plain(row) for row in table.rows if "updates" in row)
    assert row[-3:] == ["3 (2 cut off)", "2", "2"]  # 25, 25, 100: a slope of ln(4)/2


def test_no_table_without_series(study):
    assert list(slopes(study())) == []
