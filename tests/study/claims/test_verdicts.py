"""Verdicts and their parts: the word, the place, the effect, and what ``verdicts.json`` says of them."""

from __future__ import annotations

import math

import pytest

from ungrok.study.claims import CLAIMS, At, Effect, Note, Verdict, decide
from ungrok.study.place import Comparison
from ungrok.study.recipe_blocks import Side
from ungrok.study.statistics import Estimate, sign_flip


def decided(estimate, p, margin, alpha=0.05):
    word, note = decide(estimate, p, margin, alpha)
    return word, note.text if note else ""


def judge(low, high, p=0.01, n=10, margin=0.1):
    return decided(Estimate((low + high) / 2, low, high, p, n), p, margin)


def test_verdict_by_direction():
    assert judge(0.2, 0.6) == ("supported", "")
    assert judge(0.05, 0.6) == ("supported", "")
    assert judge(-0.6, -0.2) == ("refuted", "")


def test_verdict_no_difference_takes_precedence_over_a_small_supported_effect():
    assert judge(-0.05, 0.06, p=0.7) == ("refuted", "no difference: interval within ±0.1")
    assert judge(0.01, 0.06) == ("refuted", "no difference: interval within ±0.1")
    assert judge(0.01, 0.1) == ("supported", "")


def test_verdict_inconclusive_for_too_few_seeds():
    estimate = sign_flip([1.0, 2.0, 3.0, 4.0, 5.0])
    assert decided(estimate, estimate.p_value, 0.1) == (
        "inconclusive",
        "too few seeds: smallest possible p is 2/2^5 = 1/16",
    )
    assert decided(estimate, estimate.p_value, 0.1, alpha=1 / 16)[1].startswith("too few seeds")


def test_verdict_inconclusive_after_adjustment():
    assert judge(0.2, 0.6, p=0.08) == ("inconclusive", "Holm-adjusted p = 0.08")
    assert judge(-0.6, -0.2, p=0.0504) == ("inconclusive", "Holm-adjusted p = 0.0504")
    assert judge(0.2, 0.6, p=0.05) == ("inconclusive", "Holm-adjusted p = 0.05")
    assert judge(-0.6, -0.2, p=0.05) == ("inconclusive", "Holm-adjusted p = 0.05")


def test_verdict_inconclusive_across_zero():
    assert judge(-0.2, 0.6, p=0.3) == ("inconclusive", "interval across zero")
    assert judge(0.0, 0.6, p=0.3) == ("inconclusive", "interval across zero")


@pytest.mark.parametrize(
    ("at", "text", "family"),
    [
        (At.target(0.1), "UA ≤ 0.1", "UA ≤ 0.1"),
        (At.target("oracle"), "UA ≤ oracle", "UA ≤ oracle"),
        (At.matched(40.0, one_shot=False), "update 40", "dose"),
        (At.matched(3e-6, one_shot=True), "strength 3e-06", "dose"),
        (At("rewind"), "rewind", "rewind"),
        (At("any"), "any target", "dose"),
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


def test_the_stored_form():
    sides = (Side(stage="pre_grok"), Side(stage="grokked", arm="slow"))
    verdict = Verdict(
        CLAIMS.parse({"kind": "collateral"}), Comparison(*sides, "class", "random"), "scrub", "RA", At.target(0.5),
        Effect(0.25, (-math.inf, 0.5), "accuracy"), 4, 0.25, "inconclusive", (Note("across_zero"), Note("no_oracle", {"count": 1, "pairs": 5})),
    )  # fmt: skip
    assert verdict.to_dict() == {
        "claim": "collateral",
        "comparison": "pre_grok → slow/grokked",
        "setting": {"forget": "class → random", "method": "scrub", "metric": "RA", "at": "UA ≤ 0.5"},
        "effect": 0.25,
        "unit": "accuracy",
        "ci_low": None,
        "ci_high": 0.5,
        "n_seeds": 4,
        "p_value": 0.25,
        "verdict": "inconclusive",
        "note": "interval across zero; no oracle in 1 of 5 pairs",
    }
    assert verdict.noted("no_oracle")
    assert not verdict.noted("coarse")


def test_an_interval_that_ends_on_the_margin_is_not_within_it():
    assert judge(-0.1, 0.05, p=0.3) == ("inconclusive", "interval across zero")
    assert judge(-0.05, 0.1, p=0.3) == ("inconclusive", "interval across zero")


@pytest.mark.parametrize("p", [0.01, 0.3])
@pytest.mark.parametrize(("low", "high"), [(-0.2, 0.6), (0.0, 0.6), (-0.6, 0.0), (-0.6, 0.2)])
def test_an_interval_that_holds_zero_decides_nothing(low, high, p):
    """Whatever the p-value: that of bounded values does not come from the same test."""
    assert judge(low, high, p=p) == ("inconclusive", "interval across zero")


def test_the_level_is_one_in_twenty_unless_given():
    estimate = Estimate(0.4, 0.2, 0.6, 0.01, 10)
    assert decide(estimate, 0.0499, 0.1)[0] == "supported"
    assert decide(estimate, 0.05, 0.1)[0] == "inconclusive"


def test_an_effect_has_no_negative_zero_and_no_bounds_of_its_own():
    effect = Effect.of(Estimate(0.25, -0.0, -0.0, 0.1, 4))
    assert (effect.value, *map(str, effect.interval)) == (0.25, "0.0", "0.0")
    assert Effect.of(Estimate(0.25, 0.125, 0.5, 0.1, 4)).interval == (0.125, 0.5)
    assert Effect().interval == (-math.inf, math.inf)
    assert Effect.of(Estimate(math.nan, 0.0, 1.0, 1.0, 1), "accuracy") == Effect(unit="accuracy")


def test_a_dose_counts_updates_unless_it_is_a_strength():
    assert str(At("dose", dose=40.0)) == "update 40"
