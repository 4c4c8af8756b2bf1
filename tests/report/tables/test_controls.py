"""The table of matched and rescaled checkpoints, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from ungrok.report.tables.controls import controls
from ungrok.study.results import CONTROLS


def test_a_row_per_checkpoint_with_means_and_ranges(study, plain):
    view = study()
    wanted = {"arm": "base", "stage": "same", "equal": "train_loss", "to": "grokked", "tolerance": 0.05}
    rows = [
        wanted | {"seed": 0, "step": 10, "wanted": 1.0, "found": 1.5, "mismatch": 0.5},
        wanted | {"seed": 1, "step": 12, "wanted": 2.0, "found": 2.1, "mismatch": 0.1},
        wanted | {"seed": 2, "step": None, "wanted": None, "found": None, "mismatch": None},
        wanted | {"seed": 0, "arm": "slow", "step": None, "wanted": None, "found": None, "mismatch": None},
    ]
    results = replace(view.results, controls=pd.DataFrame(rows, columns=CONTROLS))
    (table,) = controls(replace(view, results=results))
    assert [plain(row) for row in table.rows] == [
        ["same", "train_loss", "grokked", "0.05", "2 of 3", "1.5", "1.8", "0.3/[0.1, 0.5]"],
        ["slow, same", "train_loss", "grokked", "0.05", "0 of 1", "–", "–", "–"],
    ]


def test_no_table_without_controls(study):
    assert list(controls(study())) == []
