"""Tables of costs, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from ungrok.report.tables import costs


def test_extra_training_is_paid_back_by_cheaper_requests(study, plain):
    # 300 more steps at 0.01 s cost 3 s; one update less at 0.5 s saves 0.5 s a request: six requests.
    view = study(lambda cell: 12.0 if cell.stage == "pre_grok" else 11.0)
    assert plain(costs.training_cost(view).rows[0])[1:] == ["8", "300 [300, 300]", "3 [3, 3]"]
    row = plain(costs.request_cost(view).rows[0])
    assert row[2:] == ["gradient ascent", "8 of 8", "12", "11", "0.5", "0.5", "6"]


def test_extra_training_is_never_paid_back_by_dearer_requests(study, plain):
    row = plain(costs.request_cost(study()).rows[0])
    assert row[4:] == ["13.5", "33.5", "0.5", "−10", "never: the later stage needs more"]


def test_cost_is_taken_from_seeds_that_reached_from_both(study, plain, from_pre):
    row = plain(costs.request_cost(study(from_pre([10.0] * 3 + [None] * 5, 4.0))).rows[0])
    assert row[3:6] == ["3 of 8", "10", "4"]
    row = plain(costs.request_cost(study(from_pre([None] * 8, 4.0))).rows[0])
    assert row[3:] == ["0 of 8", *["never reached from both"] * 5]


@pytest.mark.parametrize(
    ("extra", "saved", "shown"),
    [
        (3.0, 0.5, "6"), (3.1, 0.5, "7"), (4000.0, 1.0, "4,000"), (0.0, 1.0, "at once"), (math.nan, 1.0, "–"),
        (3.0, 0.0, "never: both need the same"), (3.0, -1.0, "never: the later stage needs more"),
    ],
)  # fmt: skip
def test_breaking_even(extra, saved, shown):
    assert costs.break_even(extra, saved) == shown


def test_one_shot_methods_cost_no_updates(study):
    view = study(unlearn=[{"kind": "fisher"}])
    assert view.one_shot("fisher")
    assert costs.request_cost(view) is None
