"""Oracle gap on hand-made paths: its change from the start, beyond the distance of two oracles."""

from __future__ import annotations

import pytest


def test_the_change_from_the_start_is_compared_at_each_place(hand):
    """The gap is |UA − 0.2| / 3: 0.8/3 at UA 1, 0.2/3 at UA 0."""
    before = [hand.path(s, "pre_grok", None) for s in hand.seeds]
    after = [hand.path(s, "grokked", 40) for s in hand.seeds]
    verdicts = hand.verdicts(hand.recipe(), *before, *after)
    for at in ("update 50", "rewind"):
        verdict = hand.pick(verdicts, "oracle_gap", "gap", at)
        assert verdict["effect"] == pytest.approx(0 - (0.2 - 0.8) / 3)
        assert (verdict["verdict"], verdict["unit"]) == ("exploratory", "accuracy")
    never = hand.pick(verdicts, "oracle_gap", "gap", "UA ≤ 0.1")
    assert (never["effect"], never["n_seeds"]) == (None, 0)
    assert never["note"] == "no pair in which both gaps are known; target not reached: 8 → 0 of 8"


def test_where_both_start_and_end_alike_in_change_there_is_no_effect(hand):
    """The later side starts and ends nearer to its oracle, and comes no nearer on the way."""
    before = [hand.path(s, "pre_grok", 30, oracle=0.5, ua0=0.9) for s in hand.seeds]
    after = [hand.path(s, "grokked", 30, oracle=0.4, ua0=0.7) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "oracle_gap", "gap")
    changes = (0.5 - 0.4) / 3, (0.4 - 0.3) / 3
    assert verdict["effect"] == pytest.approx(changes[0] - changes[1])
    assert verdict["headline"]


def test_only_what_lies_beyond_the_floor_counts(hand):
    """Gaps of 0.8/3 and 0.2/3 with a floor of 0.1 are 0.8/3 − 0.1 and 0; with a floor of 0.05 0.2/3 − 0.05 is left."""
    before = [hand.path(s, "pre_grok", 30, oracle_floor=0.1) for s in hand.seeds]
    after = [hand.path(s, "grokked", 30, oracle_floor=0.05) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "oracle_gap", "gap")
    changes = 0 - (0.8 / 3 - 0.1), (0.2 / 3 - 0.05) - (0.8 / 3 - 0.05)
    assert verdict["effect"] == pytest.approx(changes[0] - changes[1])
    assert "no second oracle" not in verdict["note"]


def test_both_starts_are_said(hand):
    """An unlearner that always ends at its oracle changes by just its start: (0.9 − 0.5) / 3 and (0.7 − 0.4) / 3."""
    before = [hand.path(s, "pre_grok", 30, oracle=0.5, ua0=0.9) for s in hand.seeds]
    after = [hand.path(s, "grokked", 30, oracle=0.4, ua0=0.7) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "oracle_gap", "gap")
    assert "gap starts at 0.133 → 0.100: one that always ends at the oracle changes by just that" in verdict["note"]


def test_pairs_without_a_second_oracle_are_counted(hand):
    paths = hand.pairs([30] * 8, [30] * 8)
    verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "oracle_gap", "gap")
    assert "no second oracle in 8 of 8 pairs" in verdict["note"]


def test_an_unknown_gap_is_left_out(hand):
    before = [hand.path(s, "pre_grok", 30) for s in hand.seeds]
    after = [hand.path(s, "grokked", None if s == 0 else 30, oracle=0.5) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "oracle_gap", "gap")
    assert verdict["n_seeds"] == 7
    assert verdict["effect"] == pytest.approx((0.2 - 0.8) / 3 - (0.5 - 0.5) / 3)
