"""The picture on the front: one unit an axis, one row a method and question."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ungrok.report.figures.front import MARKS, front, ticks_between
from ungrok.report.tables.verdicts import headline_verdicts


def panels(view):
    (picture,) = front(view)
    return picture, picture.figure.axes


def labels(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_ratios_and_points_stand_in_panels_of_their_own(study, style):
    view = study(unlearn=[{"kind": "gradient_ascent"}, {"kind": "neggrad_plus"}])
    _, (curve, ratios, points) = panels(view)
    assert curve.get_xlabel() == "training step"
    assert (ratios.get_xscale(), points.get_xscale()) == ("log", "linear")
    family = [v for v in headline_verdicts(view) if v.effect.value is not None]
    assert len(labels(ratios)) == sum(v.effect.scale == "log ratio" for v in family) > 0
    assert len(labels(points)) == sum(v.effect.scale == "difference" for v in family) > 0
    assert labels(ratios)[:2] == ["updates, same rate", "distance moved"]
    assert "percentage points" in points.get_xlabel()
    headings = [text.get_text() for text in ratios.texts]
    assert headings == ["gradient ascent", "NegGrad+"]


def test_a_row_shows_its_ratio_interval_and_word(study, style):
    view = study()
    _, (_, ratios, _) = panels(view)
    verdict = next(v for v in headline_verdicts(view) if v.reading == "same_rate")
    (mark,) = [
        line for line in ratios.lines if line.get_marker() == MARKS[verdict.word]["marker"] and line.get_ydata()[0] == 1
    ]
    assert float(mark.get_xdata()[0]) == pytest.approx(math.exp(verdict.effect.value))
    bar = next(line for line in ratios.lines if len(line.get_xdata()) == 2 and list(line.get_ydata()) == [1, 1])
    assert list(bar.get_xdata()) == pytest.approx([math.exp(end) for end in verdict.effect.interval])


def test_net_wins_stand_beside_what_was_cut_off(study, from_pre, style):
    _, (_, ratios, *_) = panels(study(from_pre([40.0] * 8)))
    assert "net wins −8 of 8" in [text.get_text() for text in ratios.texts]
    _, (_, ratios, *_) = panels(study())
    assert not any("net wins" in text.get_text() for text in ratios.texts)


def test_intervals_without_bounds_end_at_the_axis(study, style):
    _, (_, ratios, *_) = panels(study(seeds=[0, 1, 2]))
    bar = next(line for line in ratios.lines if len(line.get_xdata()) == 2 and list(line.get_ydata()) == [1, 1])
    assert list(bar.get_xdata()) == pytest.approx(ratios.get_xlim())


def test_one_wide_interval_does_not_flatten_the_others(study, style):
    view = study(unlearn=[{"kind": "gradient_ascent"}, {"kind": "neggrad_plus"}])
    wide = next(v for v in headline_verdicts(view) if (v.method, v.reading) == ("neggrad_plus", "same_rate"))
    effect = replace(wide.effect, interval=(-20.0, wide.effect.interval[1]))
    given = [replace(v, effect=effect) if v is wide else v for v in view.verdicts]
    _, (_, ratios, _) = panels(replace(view, verdicts=given))
    low, high = ratios.get_xlim()
    assert 0.1 < low < high < 2
    arrows = [(line.get_marker(), float(line.get_xdata()[0])) for line in ratios.lines if line.get_marker() in "<>"]
    assert arrows == [("<", pytest.approx(low))]


def test_several_splits_are_named_in_the_headings(study, style):
    view = study(forget=[{"kind": "class"}, {"kind": "classes", "classes": 2, "fraction": 0.5}])
    _, (_, ratios, _) = panels(view)
    headings = [text.get_text() for text in ratios.texts]
    assert headings == ["gradient ascent, one class", "gradient ascent, half of two classes"]


def test_without_verdicts_there_is_no_picture(study, style):
    assert list(front(study(claims={"targets": [0.1]}))) == []


def test_other_comparisons_of_the_family_stand_in_tables_alone(study, style):
    flat = [{"arm": "sam", "stage": "grokked"}, "grokked"]
    claims = {"compare": [["pre_grok", "grokked"], flat], "targets": [0.1, "oracle"]}
    arms = {"sam": {"trajectory": {"sam": {"rho": 0.05}}}}
    one, two = (study(arms=arms, claims=claims | {"headline": own}) for own in ({}, {"also": [flat]}))
    assert len(headline_verdicts(two)) == 2 * len(headline_verdicts(one))
    (_, (_, *first)), (_, (_, *second)) = panels(one), panels(two)
    assert [labels(axes) for axes in first] == [labels(axes) for axes in second] != []
    assert {v.comparison.label for v in headline_verdicts(two)} == {"pre_grok → grokked", "sam/grokked → grokked"}


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.88, 1.7, [0.9, 1, 1.2, 1.5]),
        (0.93, 1.17, [0.95, 1, 1.05, 1.1, 1.15]),
        (0.3, 1.2, [0.5, 1]),
        (0.07, 2, [0.1, 0.2, 0.5, 1, 2]),
        (0.01, 4, [0.01, 0.03, 0.1, 0.3, 1, 3]),
        (0.001, 0.9e2, [0.001, 0.01, 0.1, 1, 10]),
    ],
)
def test_an_axis_of_ratios_has_round_ticks_beside_1(low, high, ticks):
    assert ticks_between(low, high) == pytest.approx(ticks)
