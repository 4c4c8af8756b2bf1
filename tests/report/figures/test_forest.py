"""Forest plots over studies."""

from __future__ import annotations

import pytest
from matplotlib import rc_context

from ungrok.report.across import questions
from ungrok.report.figures.drawing import STYLE
from ungrok.report.figures.forest import MOST, forests


@pytest.fixture
def drawn(evidence):
    """Return a function that draws the one question of some studies."""

    def draw(*every):
        (question,) = questions(every)
        with rc_context(STYLE):
            pictures = forests(question, {one.recipe: one for one in every})
        return pictures[0] if len(pictures) == 1 else pictures

    return draw


def marks(axes):
    """Return where the markers stand and which line each interval spans, by row from the top."""
    points = {
        int(line.get_ydata()[0]): float(line.get_xdata()[0])
        for line in axes.lines
        if line.get_marker() not in ("None", "<", ">")
    }
    ends = {
        int(line.get_ydata()[0]): [float(end) for end in line.get_xdata()]
        for line in axes.lines
        if line.get_marker() == "None" and len(set(line.get_ydata())) == 1
    }
    return points, ends


def test_ratios_stand_under_the_names_of_their_settings(drawn, evidence, filed):
    rows = [filed(effect=0.0, ci_low=-0.6931471805599453, ci_high=0.6931471805599453, verdict="inconclusive"),
            filed(effect=-1.0, method="scrub", unit="log ratio of updates, restricted to 300")]  # fmt: skip
    picture = drawn(evidence("digits", *rows))
    (axes,) = picture.figure.axes
    points, ends = marks(axes)
    assert points == {1: 1.0, 3: pytest.approx(0.3679, abs=1e-4)}
    assert ends[1] == pytest.approx([0.5, 2.0])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["gradient ascent", "scrub*"]
    assert [text.get_text() for text in axes.texts] == ["digits, one class, ascent", "digits, one class, other"]
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "updates, earlier ÷ later, above 1 agrees")
    assert picture.title == "updates at the same rate"


def test_accuracies_are_percentage_points_and_ends_without_a_bound_reach_the_edge(drawn, evidence, filed):
    rows = [filed(claim="collateral", reading="", unit="accuracy", effect=0.02, ci_low=None, ci_high=0.03)]
    (axes,) = drawn(evidence("digits", *rows)).figure.axes
    points, ends = marks(axes)
    assert points == {1: 2.0}
    assert ends[1] == pytest.approx([axes.get_xlim()[0], 3.0])
    assert axes.get_xlabel() == "percentage points, above 0 agrees"


def test_an_interval_without_a_bound_goes_on_in_an_arrow_and_net_wins_stand_beside_what_was_cut_off(
    drawn, evidence, filed
):
    wins = {"fewer": 6, "more": 1, "undecided": 3}
    cut = filed(unit="log ratio of updates, restricted to 300", ci_low=None, wins=wins)
    (axes,) = drawn(evidence("digits", cut, filed(method="scrub", wins=wins))).figure.axes
    arrows = [(line.get_marker(), line.get_ydata()[0]) for line in axes.lines if line.get_marker() in ("<", ">")]
    assert arrows == [("<", 1)]
    assert [text.get_text() for text in axes.texts if "wins" in text.get_text()] == ["net wins +5 of 10"]


def test_rows_without_an_effect_are_counted_and_not_drawn(drawn, evidence, filed):
    nothing = filed(effect=None, ci_low=None, ci_high=None, p_value=None, verdict="inconclusive", method="scrub")
    picture = drawn(evidence("digits", filed(), nothing))
    assert "1 row without an effect stands in the table alone." in picture.how
    assert len(marks(picture.figure.axes[0])[0]) == 1
    assert drawn(evidence("digits", nothing)) == []


def test_what_is_longer_than_a_page_goes_on_in_another_picture_on_the_same_axis(drawn, evidence, filed):
    """Five settings of 12 rows and a name: 39 lines on the first page, 26 on the second."""
    rows = [filed(method=f"method-{row}", effect=-0.1 * (row + 1), ci_low=None, ci_high=None) for row in range(12)]
    first, second = drawn(*(evidence(f"recipe-{place}", *rows) for place in range(5)))
    named = [len(picture.figure.axes[0].get_yticklabels()) for picture in (first, second)]
    assert (named, MOST) == ([36, 24], 42)
    assert first.figure.axes[0].get_xlim() == second.figure.axes[0].get_xlim()
    assert (first.title, second.title) == ("updates at the same rate, 1 of 2", "updates at the same rate, 2 of 2")
    assert first.name != second.name
    assert max(picture.figure.get_figheight() for picture in (first, second)) < 9
