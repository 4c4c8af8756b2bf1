"""Extraction strengths on hand-made paths of a language model."""

from __future__ import annotations

import pytest


def with_strengths(rows, forget, retain, oracle=0.3):
    return [
        {**row, "extraction_forget": forget, "extraction_retain": retain, "oracle_extraction_forget": oracle}
        for row in rows
    ]


def test_less_of_the_forgotten_and_more_of_the_retained_agree(hand):
    before = [with_strengths(hand.path(s, "pre_grok", 40), 0.5 + s / 100, 0.3) for s in hand.seeds]
    after = [with_strengths(hand.path(s, "grokked", 40), 0.2, 0.4) for s in hand.seeds]
    verdicts = hand.verdicts(hand.recipe(), *before, *after)
    expected = {
        "extraction_forget": sum(0.3 + s / 100 for s in hand.seeds) / 8,
        "extraction_retain": 0.1,
        "extraction_forget gap": sum(abs(0.5 + s / 100 - 0.3) - abs(0.2 - 0.3) for s in hand.seeds) / 8,
    }
    for metric, effect in expected.items():
        verdict = hand.pick(verdicts, "extraction", metric, "update 50")
        assert verdict["effect"] == pytest.approx(effect), metric
        assert (verdict["verdict"], verdict["unit"]) == ("exploratory", "extraction strength"), metric
    assert hand.pick(verdicts, "extraction", "extraction_retain", "update 50")["note"].startswith(
        "started from 0.300 → 0.400"
    )


def test_a_strength_that_is_unknown_is_left_out(hand):
    before = [with_strengths(hand.path(s, "pre_grok", 40), 0.5, 0.3) for s in hand.seeds]
    after = [with_strengths(hand.path(s, "grokked", 40), None if s == 0 else 0.2, 0.3) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "extraction", "extraction_forget", "update 50")
    assert (verdict["n_seeds"], verdict["effect"]) == (7, pytest.approx(0.3))


def test_without_an_oracle_there_is_no_gap(hand):
    paths = [
        with_strengths(hand.path(s, stage, 40), 0.5, 0.3, oracle=None)
        for stage in ("pre_grok", "grokked")
        for s in hand.seeds
    ]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "extraction", "extraction_forget gap", "update 50")
    assert (verdict["effect"], verdict["verdict"]) == (None, "exploratory")
    assert verdict["note"].startswith("diverged, or no oracle; started from")


def test_classifiers_have_none(hand):
    verdicts = hand.verdicts(hand.recipe(), *hand.pairs([40] * 8, [20] * 8))
    assert {claim for claim, *_ in verdicts} == {"efficiency", "collateral", "stability", "oracle_gap", "paper"}
