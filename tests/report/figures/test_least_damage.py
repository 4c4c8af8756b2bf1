"""The frontiers of both sides, and their difference."""

from __future__ import annotations

import numpy as np
import pytest

from ungrok.report.figures.drawing import COLORS
from ungrok.report.figures.least_damage import least_damage


def test_medians_stand_above_their_difference(study, style):
    view = study()
    early = (view.results.rows["stage"] == "pre_grok") & (view.results.rows["UA"] < 0.5)
    view.results.rows.loc[early, "bystander_accuracy"] = 0.75
    (picture,) = least_damage(view, view.comparisons[0])
    assert picture.name == "least-damage-pre_grok-grokked-class"
    assert picture.title == "Least damage over all rates, before grokking → after grokking, forgetting one class"
    above, below = picture.figure.axes
    left, right = (line for line in above.lines if line.get_color() in COLORS.values())
    assert left.get_color() == COLORS["pre_grok"]
    assert left.get_ydata()[1:] == pytest.approx(np.full(20, 10.0))
    assert right.get_ydata()[1:] == pytest.approx(np.full(20, 5.0))
    assert below.lines[0].get_ydata()[1:] == pytest.approx(np.full(20, 5.0))


def test_without_an_oracle_there_is_nothing_to_draw(study, style):
    view = study()
    view.results.rows[["oracle_bystander_accuracy", "oracle_TA"]] = np.nan
    assert list(least_damage(view, view.comparisons[0])) == []
