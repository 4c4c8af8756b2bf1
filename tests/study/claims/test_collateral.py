"""Collateral damage on hand-made paths."""

from __future__ import annotations

import numpy as np
import pytest

from ungrok.study.statistics import sign_flip


def test_collateral_is_the_difference_of_drops_and_of_their_shares(hand):
    before = [hand.path(s, "pre_grok", 30, ra=0.8 - s / 100, ta=0.6) for s in hand.seeds]
    after = [hand.path(s, "grokked", 30, ra=0.9, ta=0.8) for s in hand.seeds]
    verdict = hand.verdicts(hand.recipe(), *before, *after)
    ra = hand.pick(verdict, "collateral", "RA")
    assert ra["effect"] == pytest.approx(np.mean([(0.2 + s / 100) - 0.1 for s in hand.seeds]))
    assert ra["verdict"] == "supported"
    share = hand.pick(verdict, "collateral", "TA share")
    assert share["effect"] == pytest.approx((0.3 - 0.1) / 0.9)
    assert ("collateral", "bystander_accuracy", "UA ≤ 0.1", "gradient_ascent") not in verdict


def test_a_censored_damage_is_bounded_not_dropped(hand):
    before = [hand.path(s, "pre_grok", 30, ra=0.9) for s in hand.seeds]
    after = [hand.path(s, "grokked", None if s == 0 else 30, ra=0.99) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "collateral", "RA")
    # Seed 0: a drop of 0.1 against one anywhere in [0, 1].
    rest = [0.09] * 7
    assert verdict["n_seeds"] == 8
    assert verdict["ci_low"] == pytest.approx(sign_flip([-0.9, *rest]).low)
    assert verdict["ci_high"] == pytest.approx(sign_flip([0.1, *rest]).high)
    assert verdict["verdict"] == "inconclusive"


def test_a_censored_share_is_bounded_by_the_start(hand):
    """TA starts at 0.9: a share may fall by 1 at most, and rise by 1/9."""
    before = [hand.path(s, "pre_grok", 30, ta=0.72) for s in hand.seeds]
    after = [hand.path(s, "grokked", None if s == 0 else 30, ta=0.81) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "collateral", "TA share")
    assert verdict["ci_low"] == pytest.approx(sign_flip([0.2 - 1, *[0.1] * 7]).low)
    assert verdict["ci_high"] == pytest.approx(sign_flip([0.2 + 1 / 9, *[0.1] * 7]).high)


def test_a_share_of_nothing_is_left_out(hand):
    paths = [
        [{**row, "bystander_accuracy": 0.0} for row in hand.path(s, stage, 30)]
        for stage in ("pre_grok", "grokked")
        for s in hand.seeds
    ]
    verdict = hand.verdicts(hand.recipe(), *paths)
    assert hand.pick(verdict, "collateral", "bystander_accuracy")["effect"] == 0
    assert ("collateral", "bystander_accuracy share", "UA ≤ 0.1", "gradient_ascent") not in verdict


def test_a_plain_verdict_has_no_notes(hand):
    paths = hand.pairs([30] * 8, [30] * 8, ra=0.9, ta=0.7)
    found = hand.verdicts(hand.recipe(), *paths)
    assert hand.pick(found, "collateral", "RA")["note"] == "no difference: interval within ±0.01"
    assert hand.pick(found, "collateral", "RA share")["effect"] == 0


def test_from_nothing_an_accuracy_can_only_rise(hand):
    """A bystander accuracy of 0: a drop that is unknown lies in [−1, 0]."""
    rise = {"pre_grok": 0.0, "grokked": 0.25}
    paths = [
        [
            {**row, "bystander_accuracy": rise[stage] if row["reached_0.1"] and row["dose"] else 0.0}
            for row in hand.path(s, stage, None if (s, stage) == (0, "pre_grok") else 30)
        ]
        for stage in rise
        for s in hand.seeds
    ]
    found = hand.pick(hand.verdicts(hand.recipe(), *paths), "collateral", "bystander_accuracy")
    rest = [0.0 + 0.25] * 7
    assert found["ci_low"] == pytest.approx(sign_flip([-1 + 0.25, *rest]).low)
    assert found["ci_high"] == pytest.approx(sign_flip([0 + 0.25, *rest]).high)
