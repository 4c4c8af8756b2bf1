"""The oracle gap on hand-made paths: at targets, at the matched dose and where rewinding stops."""

from __future__ import annotations

import pytest

from ungrok.study.statistics import sign_flip


def test_gaps_are_compared_at_each_place(hand):
    """The gap is |UA − 0.2| / 3: 0.2/3 at UA 0, 0.8/3 at UA 1."""
    before = [hand.path(s, "pre_grok", None) for s in hand.seeds]
    after = [hand.path(s, "grokked", 40) for s in hand.seeds]
    verdicts = hand.verdicts(hand.recipe(), *before, *after)
    for at in ("update 50", "rewind"):
        verdict = hand.pick(verdicts, "oracle_gap", "gap", at)
        assert verdict["effect"] == pytest.approx(0.6 / 3)
        assert (verdict["verdict"], verdict["unit"], verdict["note"]) == ("supported", "accuracy", "")
    never = hand.pick(verdicts, "oracle_gap", "gap", "UA ≤ 0.1")
    assert (never["effect"], never["n_seeds"]) == (None, 8)
    assert never["note"] == "no pair in which both gaps are known; target not reached: 8 → 0 of 8"


def test_an_unknown_gap_may_be_anything_from_0_to_1(hand):
    before = [hand.path(s, "pre_grok", 30) for s in hand.seeds]
    after = [hand.path(s, "grokked", None if s == 0 else 30, oracle=0.5) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "oracle_gap", "gap")
    rest = [(0.2 - 0.5) / 3] * 7
    assert verdict["ci_low"] == pytest.approx(sign_flip([0.2 / 3 - 1, *rest]).low)
    assert verdict["ci_high"] == pytest.approx(sign_flip([0.2 / 3 - 0, *rest]).high)
