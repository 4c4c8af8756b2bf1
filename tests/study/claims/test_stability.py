"""Stability on hand-made paths: spreads of what was lost, at equal forgetting."""

from __future__ import annotations

import math

import numpy as np
import pytest


def test_stability_compares_the_spread_of_the_fall_at_the_target(hand):
    wide, narrow = [0.5 + s / 20 for s in hand.seeds], [0.5 + s / 200 for s in hand.seeds]
    before = [hand.path(s, "pre_grok", 30, ta=wide[s]) for s in hand.seeds]
    after = [hand.path(s, "grokked", 40, ta=narrow[s]) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "stability", "TA")
    assert verdict["effect"] == pytest.approx(math.log(10))
    assert (verdict["headline"], verdict["unit"]) == (True, "log ratio of standard deviations")


def test_a_start_that_differs_between_seeds_is_taken_off(hand):
    """Both sides lose exactly 0.1 + s/100, from starts that spread on one side only."""
    before = [
        [{**row, "TA": 0.9 - s / 20 - (0.1 + s / 100) * (row["dose"] >= 30)} for row in hand.path(s, "pre_grok", 30)]
        for s in hand.seeds
    ]
    after = [
        [{**row, "TA": 0.9 - (0.1 + s / 100) * (row["dose"] >= 30)} for row in hand.path(s, "grokked", 30)]
        for s in hand.seeds
    ]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "stability", "TA")
    assert verdict["effect"] == pytest.approx(0)
    assert verdict["verdict"] != "supported"


def test_without_unlearning_there_is_no_spread_to_compare(hand):
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs([None] * 8, [None] * 8)), "stability", "TA")
    assert (verdict["effect"], verdict["verdict"]) == (None, "inconclusive")


def test_what_has_no_spread_to_compare_says_why(hand):
    same = hand.pairs([30] * 8, [30] * 8)
    some = [
        hand.path(s, stage, None if (s, stage) == (0, "grokked") else 40, ta=0.5 + s / 50)
        for stage in ("pre_grok", "grokked")
        for s in hand.seeds
    ]
    few = [row for row in same if row[0]["seed"] < 2]
    for paths, note in (
        (same, "a side has zero spread: its ratio to the other is undefined"),
        (few, "spread needs at least 3 seeds, got 2"),
        (some, "not every path reached the target"),
    ):
        verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "stability", "TA")
        assert verdict["effect"] is None
        assert note in verdict["note"]


def test_unequal_forgetting_bars_the_word(hand):
    """Methods that stop by themselves end where they end: at UA 0.4 here and 0.46 there."""
    falls = {"pre_grok": 10, "grokked": 1000}
    paths = [
        [
            {**row, "UA": 0.4 + 0.06 * (stage == "grokked"), "TA": 0.9 - (s + 1) / falls[stage] * (row["dose"] > 0)}
            for row in hand.path(s, stage, None, method="nabla_tau")
        ]
        for stage in ("pre_grok", "grokked")
        for s in hand.seeds
    ]
    verdicts = hand.verdicts(hand.recipe("unlearn=[{kind: nabla_tau}]"), *paths)
    verdict = hand.pick(verdicts, "stability", "TA", "end of the path", "nabla_tau")
    assert verdict["effect"] == pytest.approx(math.log(100))
    assert (verdict["verdict"], verdict["headline"]) == ("inconclusive", True)
    assert verdict["note"].startswith("mean UA 0.40 → 0.46: forgetting is too unequal")
    assert "stops by itself" in verdict["note"]


def test_updates_spread_as_log_times(hand):
    before, after = [30 + 5 * s for s in hand.seeds], [30 + s for s in hand.seeds]
    verdict = hand.pick(
        hand.verdicts(hand.recipe(), *hand.pairs(before, after)), "stability", "updates same rate"
    )  # fmt: skip
    assert verdict["effect"] == pytest.approx(math.log(np.std(np.log(before)) / np.std(np.log(after))))
    assert verdict["verdict"] == "exploratory"


def test_three_seeds_have_a_spread(hand):
    paths = [
        hand.path(s, stage, 30, ta=0.5 + s / scale)
        for stage, scale in (("pre_grok", 10), ("grokked", 20))
        for s in range(3)
    ]
    verdict = hand.pick(hand.verdicts(hand.recipe("seeds=[0, 1, 2]"), *paths), "stability", "TA")
    assert verdict["effect"] == pytest.approx(math.log(2))
    assert verdict["verdict"] == "exploratory"
