"""Cost against damage, drawn from costs made by hand."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from tests.study.test_advise import EARLY, LATE, measured, setting

from ungrok.report.figures.advice import advice, advice_of_study, frontier
from ungrok.report.figures.drawing import COLORS, STYLE
from ungrok.study.advise import Terms, advise
from ungrok.study.deletion_costs import Policy


def test_the_frontier_is_what_no_point_beats_in_both():
    points = [(3.0, 1.0), (1.0, 5.0), (2.0, 6.0), (2.0, 3.0), (4.0, 1.0), (5.0, 0.0), (1.0, 5.0)]
    assert frontier(points) == [(1, 5), (2, 3), (3, 1), (5, 0)]
    assert frontier([]) == []


@pytest.fixture
def axes():
    """Return the panel of a setting whose later stage also has a method that fulfills too little, and one that diverged."""
    bad, broken = (Policy("base", "grokked", method) for method in ("fisher", "ssd"))
    one = setting(
        {
            EARLY: measured(100, 30, damage=0.3),
            LATE: measured(300, 10, damage=0.01),
            bad: measured(300, 1, failed=[0, 1], damage=0.2),
            broken: measured(300, 1, damage=float("nan")),
        }
    )
    terms = Terms(20)
    with mpl.rc_context(STYLE):
        picture = advice([advise(one, terms)])
    picture.figure.canvas.draw()
    return picture.figure.axes[0]


def test_every_policy_with_a_known_damage_is_a_point_hollow_where_it_is_not_admissible(axes):
    points = {
        (round(line.get_xdata()[0]), round(line.get_ydata()[0], 6)): (line.get_color(), line.get_markerfacecolor())
        for line in axes.lines
        if line.get_linestyle() == "None" and line.get_markersize() == 5
    }
    early, late = COLORS["pre_grok"], COLORS["grokked"]
    fallback = round(300 + 20 + 20 * 300 * 2 / 6)
    assert points == {
        (700, 30): (early, "white"),
        (500, 1): (late, late),
        (fallback, 20): (late, "white"),
        (2100, 0): (early, early),
        (6300, 0): (late, late),
    }


def test_the_choice_is_ringed_and_what_fulfills_too_little_is_not_joined(axes):
    (ring,) = (line for line in axes.lines if line.get_markersize() == 10)
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (500, 1)
    joined = [
        list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for line in axes.lines
        if line.get_drawstyle() == "steps-post"
    ]
    assert joined == [[(700, 30), (2100, 0)], [(500, 1), (6300, 0)]]


def test_admissible_methods_are_named(axes):
    assert sorted(text.get_text() for text in axes.texts) == ["SCRUB", "retraining", "retraining"]


def test_many_stages_have_their_place_in_the_legend():
    arms = [f"an arm with a long name {number}" for number in range(9)]
    one = setting({Policy(arm, "grokked", "scrub"): measured(100 + 50 * place, 30) for place, arm in enumerate(arms)})
    with mpl.rc_context(STYLE):
        figure = advice([advise(one, Terms(3))]).figure
    figure.canvas.draw()
    (legend,) = figure.legends
    box, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 < box.x1 <= whole.x1
    assert whole.y0 <= box.y0 < box.y1 <= whole.y1
    assert len(legend.get_texts()) == 9 + 3
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["SCRUB"] * 6 + ["retraining"] * 2


def test_a_study_of_which_sizes_are_not_known_has_no_figure(study):
    assert list(advice_of_study(study(), None)) == []
