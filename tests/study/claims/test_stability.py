"""Stability on hand-made paths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ungrok.study.statistics import spread_ratio


def test_stability_compares_spread_at_the_matched_dose(hand):
    wide, narrow = [0.3 + s / 20 for s in hand.seeds], [0.5 + s / 200 for s in hand.seeds]
    before = [hand.path(s, "pre_grok", None, end=wide[s]) for s in hand.seeds]
    after = [hand.path(s, "grokked", None, end=narrow[s]) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "stability", "UA", "update 50")
    expected = spread_ratio(wide, narrow)
    assert verdict["effect"] == pytest.approx(math.log(10))
    assert (verdict["ci_low"], verdict["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert verdict["verdict"] == "supported"


def test_what_has_no_spread_to_compare_says_why(hand):
    same = hand.pairs([None] * 8, [None] * 8)
    gone = [
        hand.path(s, stage, 40, ta=np.nan if (s, stage) == (0, "grokked") else 0.5 + s / 50)
        for stage in ("pre_grok", "grokked")
        for s in hand.seeds
    ]
    few = [row for row in same if row[0]["seed"] < 2]
    for paths, metric, note in (
        (same, "UA", "a side has zero spread: its ratio to the other is undefined"),
        (few, "UA", "spread needs at least 3 seeds, got 2"),
        (gone, "TA", "diverged: 0 → 1 of 8"),
    ):
        verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "stability", metric, "update 50")
        assert verdict["effect"] is None
        assert verdict["note"].startswith(f"{note}; mean UA ")


@pytest.mark.parametrize("still", ["pre_grok", "grokked"])
def test_one_side_without_spread_is_enough(hand, still):
    paths = [
        hand.path(s, stage, None, end=0.5 if stage == still else 0.3 + s / 20)
        for stage in ("pre_grok", "grokked")
        for s in hand.seeds
    ]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "stability", "UA", "update 50")
    assert verdict["effect"] is None
    assert verdict["note"].startswith("a side has zero spread")


def test_three_seeds_have_a_spread(hand):
    paths = [
        hand.path(s, stage, None, end=0.5 + s / scale)
        for stage, scale in (("pre_grok", 10), ("grokked", 20))
        for s in range(3)
    ]
    found = hand.pick(hand.verdicts(hand.recipe("seeds=[0, 1, 2]"), *paths), "stability", "UA", "update 50")
    assert found["effect"] == pytest.approx(math.log(2))
