"""Verdicts and their parts: the word, the place, the effect, and what ``verdicts.json`` says of them."""

from __future__ import annotations

import math

import pytest

from ungrok.study.claims import CLAIMS, At, Effect, Note, Verdict, Wins, decide
from ungrok.study.place import Comparison
from ungrok.study.recipe_blocks import Side
from ungrok.study.statistics import Estimate


def judge(low, high, margin=0.1, **how):
    word, note = decide(Estimate((low + high) / 2, low, high, 0.5, 10), margin, **how)
    return word, note.text if note else ""


def test_a_direction_is_named_exactly_where_the_interval_leaves_out_zero():
    assert judge(0.2, 0.6) == ("supported", "")
    assert judge(0.01, 0.06) == ("supported", "")
    assert judge(-0.6, -0.2) == ("refuted", "")
    for low, high in ((-0.2, 0.6), (0.0, 0.6), (-0.6, 0.0)):
        assert judge(low, high) == ("inconclusive", "interval across zero")


def test_an_interval_within_the_margin_is_no_difference():
    assert judge(-0.05, 0.06) == ("refuted", "no difference: interval within ±0.1")
    assert judge(-0.1, 0.05) == ("inconclusive", "interval across zero")
    assert judge(-0.05, 0.1) == ("inconclusive", "interval across zero")


def test_no_difference_is_not_claimed_of_bounds():
    word, text = judge(-0.05, 0.06, bounds_only=True)
    assert (word, text) == (
        "inconclusive", "interval within ±0.1, but some paths did not get there: no difference cannot be claimed"
    )  # fmt: skip
    assert judge(0.01, 0.06, bounds_only=True)[0] == "supported"


def test_no_difference_of_accuracies_needs_seeds_enough_to_exclude_collapses():
    assert judge(-0.05, 0.06, larger=0.31)[0] == "inconclusive"
    assert "up to 0.31 of seeds may differ by more" in judge(-0.05, 0.06, larger=0.31)[1]
    word, text = judge(-0.05, 0.06, larger=0.1)
    assert word == "refuted"
    assert text == "no difference: interval within ±0.1, and at most a share 0.10 of seeds differs by more"


def test_net_wins_agree_with_the_claim_where_the_later_side_needs_fewer():
    assert Wins(6, 1, 3).net == 5


@pytest.mark.parametrize(
    ("at", "text", "family"),
    [
        (At.target(0.1), "UA ≤ 0.1", "UA ≤ 0.1"),
        (At.target("oracle"), "UA ≤ oracle", "UA ≤ oracle"),
        (At.matched(40.0, one_shot=False), "update 40", "dose"),
        (At.matched(3e-6, one_shot=True), "strength 3e-06", "dose"),
        (At("rewind"), "rewind", "rewind"),
        (At("end"), "end of the path", "end of the path"),
        (At("any"), "any target", "any target"),
    ],
)
def test_places_have_names_and_matched_doses_are_one_family(at, text, family):
    assert (str(at), at.family) == (text, family)


def test_an_effect_knows_its_scale_unit_and_restriction():
    estimate = Estimate(-0.0, -math.inf, 0.5, 0.1, 4)
    effect = Effect.of(estimate, "updates", "log ratio")
    assert (str(effect.value), effect.interval, effect.measure) == ("0.0", (-math.inf, 0.5), "log ratio of updates")
    assert Effect.of(estimate, "updates", cut_at=1e-5).measure == "updates, restricted to 1e-05"
    assert Effect.of(None, "accuracy") == Effect(None, (-math.inf, math.inf), "accuracy")
    assert Effect().measure == ""


def test_wins_are_stored_by_name():
    verdict = Verdict(
        CLAIMS.parse({"kind": "efficiency"}), "same_rate", Comparison(Side(stage="pre_grok"), Side(stage="grokked"), "class", "class"),
        "scrub", "updates", At.target(0.5), True, Effect(), 0, None, "inconclusive", (), Wins(6, 1, 3),
    )  # fmt: skip
    assert verdict.to_dict()["wins"] == {"fewer": 6, "more": 1, "undecided": 3}


def test_the_stored_form():
    sides = (Side(stage="pre_grok"), Side(stage="grokked", arm="slow"))
    verdict = Verdict(
        CLAIMS.parse({"kind": "collateral"}), "", Comparison(*sides, "class", "random"), "scrub", "RA", At.target(0.5), True,
        Effect(0.25, (-math.inf, 0.5), "accuracy"), 4, 0.25, "inconclusive", (Note("across_zero"), Note("no_oracle", {"count": 1, "pairs": 5})),
    )  # fmt: skip
    assert verdict.to_dict() == {
        "claim": "collateral",
        "reading": "",
        "comparison": "pre_grok → slow/grokked",
        "setting": {"forget": "class → random", "method": "scrub", "metric": "RA", "at": "UA ≤ 0.5"},
        "headline": True,
        "effect": 0.25,
        "unit": "accuracy",
        "ci_low": None,
        "ci_high": 0.5,
        "n_seeds": 4,
        "p_value": 0.25,
        "verdict": "inconclusive",
        "wins": None,
        "notes": [
            {"code": "across_zero", "text": "interval across zero"},
            {"code": "no_oracle", "text": "no oracle in 1 of 5 pairs"},
        ],
    }
    assert verdict.noted("no_oracle")
    assert not verdict.noted("coarse")


def test_an_effect_has_no_negative_zero_and_no_bounds_of_its_own():
    effect = Effect.of(Estimate(0.25, -0.0, -0.0, 0.1, 4))
    assert (effect.value, *map(str, effect.interval)) == (0.25, "0.0", "0.0")
    assert Effect.of(Estimate(0.25, 0.125, 0.5, 0.1, 4)).interval == (0.125, 0.5)
    assert Effect().interval == (-math.inf, math.inf)
    assert Effect.of(Estimate(math.nan, 0.0, 1.0, 1.0, 1), "accuracy") == Effect(unit="accuracy")


def test_a_dose_counts_updates_unless_it_is_a_strength():
    assert str(At("dose", dose=40.0)) == "update 40"
