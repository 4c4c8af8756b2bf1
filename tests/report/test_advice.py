"""The recommendation in words, from costs made by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.study.test_advise import EARLY, LATE, measured, setting, unknown

from ungrok.core.errors import RecipeError
from ungrok.report.advice import COLUMNS, across, across_table, as_json, feasible, sentences, table, write_figure
from ungrok.study.advise import Terms, advise
from ungrok.study.advise_across import held_out

UNKNOWN = dict.fromkeys(("passes", "seconds"), np.full(6, np.nan))


def told(policies, terms, **given):
    return sentences(advise(setting(policies, **given), terms))


def test_the_recommendation_has_its_costs_and_its_margin():
    lines = told({EARLY: measured(100, 30), LATE: measured(300, 10)}, Terms(20))
    assert lines[:4] == [
        "For 20 requests for 1 % of the training set: stop after grokking and delete by SCRUB.",
        "In all 500 passes: 300 of training (200 beyond the cheapest stage that is accurate enough), and 10 a request.",
        "Cheapest from elsewhere: stop before grokking and delete by SCRUB, 700 passes (+40 %, 200 more [200,\N{NO-BREAK SPACE}200] over 6 seeds): it matters.",
        "Cheapest other method from there: stop after grokking and delete by retraining, 6,300 passes "
        "(+1160 %, 5,800 more [5,800,\N{NO-BREAK SPACE}5,800] over 6 seeds): it matters.",
    ]
    assert (
        "Where to stop changes with the number of requests: before grokking from 1 on, after grokking from 11 on (up to 99)."
        in lines
    )
    assert (
        "No request after the first was measured: each is priced like the first, and damage is that of one request."
        in lines
    )
    assert "Whether forgetting lasts was not measured." in lines


def test_it_is_said_where_a_choice_does_not_matter():
    lines = told({EARLY: measured(100, 10), LATE: measured(102, 10)}, Terms(2))
    assert lines[2].endswith("(+2 %, 2 more [2,\N{NO-BREAK SPACE}2] over 6 seeds): it does not matter.")
    few = told({EARLY: measured(100, 10, seeds=2), LATE: measured(102, 10, seeds=2)}, Terms(2))
    assert few[2].endswith("(+2 %, 2 more [−∞,\N{NO-BREAK SPACE}∞] over 2 seeds): it is open which is cheaper.")
    surely = told({EARLY: measured(100, 10), LATE: measured(100, 15, spread=[0, 1, 2, 3, 4, 20])}, Terms(1))
    assert surely[2].endswith("it is cheaper, and it is open whether by more than the margin.")


def test_costs_that_are_not_known_are_not_admissible_and_choose_nothing():
    lines = told({EARLY: measured(100, 30), LATE: replace(measured(100, 1), training=UNKNOWN)}, Terms(2))
    assert lines[0].endswith("stop before grokking and delete by SCRUB.")
    assert "Not admissible: 2 of 4 policies (2 have no known cost)." in lines
    one = unknown(setting({LATE: measured(100, 30)}), "seconds")
    assert not [line for line in sentences(advise(one, Terms(2))) if line.startswith("By seconds")]


def test_it_is_said_which_stage_would_do_for_less_accurate_models():
    lines = told({EARLY: measured(100, 1, accuracy=0.5), LATE: measured(300, 1)}, Terms(2))
    assert "No other stage has models of 0.880 or more on validation data." in lines
    assert (
        "If any accuracy were good enough: stop before grokking and delete by SCRUB, 102 passes, with models of 0.500 on validation data "
        "instead of 0.900." in lines
    )
    assert "Not admissible: 2 of 4 policies (2 start from models that are not accurate enough)." in lines


def test_sequences_beyond_those_measured_are_said_to_be_extrapolated():
    lines = told({EARLY: measured(100, 1, 1, 1)}, Terms(4, size=0.002))
    assert "Requests after number 3 are extrapolated; damage is that after number 3." in lines
    assert lines[0].startswith(
        "For 4 requests for 0.2 % of the training set (each costs what 1 % cost, the nearest size measured): "
    )


def test_the_table_holds_admissible_policies_and_the_cheapest_first():
    both = setting({EARLY: measured(100, 30, damage=0.5), LATE: measured(300, 10, damage=0.012)})
    rows = table(advise(both, Terms(20)))
    assert [row[:2] for row in rows] == [
        ["after grokking", "SCRUB"],
        ["before grokking", "retraining"],
        ["after grokking", "retraining"],
    ]
    assert dict(zip(COLUMNS, rows[0], strict=True)) == {
        "stop": "after grokking", "delete by": "SCRUB", "training": "300", "extra": "200", "a request": "10", "total": "500", "seconds": "500",
        "fulfilled": "1.00", "damage": "1.2", "lasts": "–", "rests on": "single request",
    }  # fmt: skip


@pytest.fixture
def several():
    costs = {"A": (10, 60), "B": (10, 60), "C": (50, 10)}
    return [
        setting({EARLY: measured(90, early), LATE: measured(90, late)}, run=run, training=run)
        for run, (early, late) in costs.items()
    ]


def test_over_several_settings_it_is_counted_how_often_the_advice_was_right(several):
    terms = Terms(1)
    every, left_out = feasible([*several, setting({EARLY: measured(90, 1)}, run="all", share=1.0)], terms)
    assert [row[:3] for row in across_table(every)] == [
        ["A, one class", "before grokking", "SCRUB"],
        ["B, one class", "before grokking", "SCRUB"],
        ["C, one class", "after grokking", "SCRUB"],
    ]
    assert len(left_out) == 1
    assert left_out[0].startswith(
        "all, class, is left out: requests: 1 requests for 100.0% of the training set each leave nothing"
    )
    lines = across(every, held_out(several, terms), terms)
    # Without A the others cost log 1.4 / 2 for EARLY and log 1.5 / 2 for LATE; without C both agree on EARLY, which costs 1.4 there.
    assert lines[0] == "Over 3 settings: stop before grokking and delete by SCRUB."
    assert lines[1].startswith("This advice was right in 2 of 3 held-out settings: ")
    assert lines[1].endswith("costs at most 10 % more than the cheapest admissible policy.")
    assert lines[2:] == [
        "Wrong in C, class: stop before grokking and delete by SCRUB costs 1.40 times as much as to stop after grokking and delete by SCRUB."
    ]
    harmful = setting({EARLY: measured(90, 10, damage=0.5)}, run="harmful", training="harmful")
    (wrong,) = (one for one in held_out([*several, harmful], terms) if one.setting is harmful)
    # 100 and, since that damages too much, 180 of retraining, beside these 180 alone.
    assert across(every, [wrong], terms)[2:] == [
        "Wrong in harmful, class: stop before grokking and delete by SCRUB is not admissible and, with the retraining that must follow, costs 1.56 times as "
        "much as to stop before grokking and delete by retraining."
    ]
    with pytest.raises(RecipeError, match="leave nothing"):
        feasible(several, Terms(100))


def test_json_holds_plain_values_and_null_for_what_is_not_known(several):
    terms = Terms(1)
    few = setting({EARLY: measured(90, 10, seeds=2, damage=float("nan")), LATE: measured(95, 10, seeds=2)}, run="few")
    every, _ = feasible([*several, few], terms)
    content = json.loads(json.dumps(as_json(every, held_out(several, terms), terms), allow_nan=False))
    # With the fourth setting, where retraining must follow EARLY, it costs more in the mean than LATE.
    assert content["overall"] == {"arm": "base", "stage": "grokked", "method": "scrub"}
    assert [one["right"] for one in content["held_out"]] == [True, True, False]
    assert content["settings"][0]["policies"][0]["passes"] == {
        "training": 90,
        "extra": 0,
        "measured_requests": [10],
        "total": 100,
    }
    own = content["settings"][3]
    assert (own["choice"]["stage"], own["choice"]["method"]) == ("grokked", "scrub")
    assert own["other_stage"]["difference"]["low"] is None
    assert [one["damage"]["RA"] for one in own["policies"]].count(None) == 1


def test_the_figure_is_written_as_png_and_pdf(several, tmp_path):
    every, _ = feasible(several[:1], Terms(1))
    file = write_figure(tmp_path / "new", every)
    assert file == tmp_path / "new" / "advice.png"
    assert file.read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "new" / "advice.pdf").read_bytes()[:4] == b"%PDF"
