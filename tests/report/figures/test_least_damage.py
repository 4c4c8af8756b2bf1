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


def test_long_names_of_sides_leave_the_legend_in_the_figure(study, style):
    names = [f"{'settled, at the end ' * 2}{group}" for group in ("late", "early")]
    rules = [{"kind": "class", "name": names[0]}, {"kind": "random", "size": 20, "name": names[1]}]
    view = study(forget=rules, claims={"compare": [[{"stage": "grokked", "forget": name} for name in names]]})
    (picture,) = least_damage(view, view.comparisons[0])
    picture.figure.canvas.draw()
    box = picture.figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= picture.figure.bbox.width
