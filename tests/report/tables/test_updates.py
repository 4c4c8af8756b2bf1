"""Tables of updates to target and of learning rates, against numbers worked out by hand."""

from __future__ import annotations

import pytest

from ungrok.report.tables import updates


@pytest.mark.parametrize(
    ("times", "median", "spread"),
    [
        ([10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0], "45", "[10, 80]"),
        ([10.0, 20.0, 30.0, 40.0, 50.0, None, None, None], "45", "[10, > 100]"),
        # Half reached: the median lies above the last time, and that is all that is known.
        ([10.0, 20.0, 30.0, 40.0, None, None, None, None], "> 40", "[10, > 100]"),
        ([10.0, None, None, None, None, None, None, None], "> 100", "[10, > 100]"),
        ([None] * 8, "> 100", ""),
    ],
)
def test_medians_of_updates_respect_censoring(study, times, median, spread, plain, from_pre):
    (table,) = updates.updates_to_target(study(from_pre(times, 5.0)))
    row = plain(table.rows[0])
    reached = sum(time is not None for time in times)
    assert row[:2] == ["gradient ascent", "before grokking"]
    assert row[2] == "/".join(part for part in (median, spread) if part)
    assert row[3:6] == [f"{reached} of 8", "0", str(8 - reached)]


def test_paths_with_nothing_to_forget_are_counted_apart(study, plain):
    (table,) = updates.updates_to_target(study(options={"ua0": 0.05}))
    assert plain(table.rows[0])[2:6] == ["–", "0 of 8", "8", "0"]


def test_learning_rates_are_chosen_on_validation_accuracy(study, plain):
    view = study(
        lambda cell: None if cell.method.endswith("0.1") and cell.seed < 4 else 20.0,
        unlearn=[{"kind": "gradient_ascent", "lr": [0.1, 0.001, 0.01]}, {"kind": "finetune"}],
    )
    rows = view.results.rows
    gentle = (rows["method"] == "gradient_ascent lr=0.01") & (rows["dose"] >= 20)
    rows.loc[gentle, "validation_accuracy"] = 0.88
    rows.loc[rows["method"] == "gradient_ascent lr=0.1", "validation_accuracy"] = 0.9
    (table,) = updates.learning_rates(view)
    assert [row[0] for row in table.rows] == ["gradient ascent"] * 2
    assert list(table.columns[2:5]) == ["lr 0.001", "lr 0.01", "lr 0.1"]
    row = plain(table.rows[0])
    # 0.1 costs nothing, but half of the seeds are not most of them; 0.01 costs 0.02 and 0.001 costs 0.1.
    assert row[2:5] == ["20 (8 of 8)", "20 (8 of 8)", "> 20 (4 of 8)"]
    assert row[5:] == ["0.01", "20/[20, 20]", "8 of 8", "0.020", "0.100"]


def test_no_rate_is_chosen_where_none_reaches_the_target(study, plain):
    (table,) = updates.learning_rates(study(lambda cell: None, unlearn=[{"kind": "finetune", "lr": [0.1, 0.01]}]))
    assert plain(table.rows[0])[4:] == ["none in most seeds"] * 5
