"""The paper's reading on hand-made paths."""

from __future__ import annotations

import numpy as np
import pytest

from ungrok.study.claims import Note

CONFOUNDED = Note("confounded").text


def test_the_papers_reading_prefers_lower_ua_and_higher_ta(hand):
    before = [hand.path(s, "pre_grok", 40, ta=0.5) for s in hand.seeds]
    after = [hand.path(s, "grokked", None) for s in hand.seeds]
    verdict = hand.verdicts(hand.recipe(), *before, *after)
    assert hand.pick(verdict, "paper", "UA", "update 50")["effect"] == pytest.approx(-1.0)
    assert hand.pick(verdict, "paper", "TA", "update 50")["effect"] == pytest.approx(0.4)
    assert "started from 0.900 → 0.900" in hand.pick(verdict, "paper", "TA", "update 50")["note"]


def test_ues_says_how_unstable_it_is(hand):
    before = [hand.path(s, "pre_grok", 40, ra=0.9, ta=0.8) for s in hand.seeds]
    after = [hand.path(s, "grokked", 40, ra=0.99, ta=0.91 if s == 0 else 0.89) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "paper", "UES", "update 50")
    assert verdict["effect"] == pytest.approx((7 * 1 / (0.01 * 0.01) - 1 / (0.01 * 0.01)) / 8 - 1 / (0.1 * 0.1))
    assert "negative in 1 of 16" in verdict["note"]


def test_a_diverged_model_is_left_out(hand):
    before = [hand.path(s, "pre_grok", 40, ta=0.5) for s in hand.seeds]
    after = [hand.path(s, "grokked", 40, ta=np.nan if s == 0 else 0.7) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "paper", "TA", "update 50")
    assert (verdict["n_seeds"], verdict["effect"]) == (7, pytest.approx(0.2))


def test_the_papers_reading_never_comes_without_what_confounds_it(hand):
    verdicts = hand.verdicts(hand.recipe(), *hand.pairs([40] * 8, [20] * 8))
    own = [verdict for (claim, *_), verdict in verdicts.items() if claim == "paper"]
    assert [verdict["setting"]["metric"] for verdict in own] == ["UA", "RA", "TA", "UES"]
    for verdict in own:
        assert verdict["verdict"] == "exploratory"
        assert "not at equal forgetting: the two sides start from different values" in verdict["note"]


def test_models_that_all_diverged_have_no_effect(hand):
    judged = hand.verdicts(hand.recipe(), *hand.pairs([40] * 8, [40] * 8, ta=np.nan))
    verdict = hand.pick(judged, "paper", "TA", "update 50")
    assert (verdict["effect"], verdict["note"]) == (None, f"diverged; started from 0.900 → 0.900; {CONFOUNDED}")
    assert hand.pick(judged, "paper", "UES", "update 50")["note"] == f"defined in 0 of 8 pairs; {CONFOUNDED}"


def test_no_difference_of_ues_is_too_small_to_matter(hand):
    """UES of 4 and 4.04: an accuracy that moved so little would be no difference."""
    before = [hand.path(s, "pre_grok", 40, ra=0.5, ta=0.4) for s in hand.seeds]
    after = [hand.path(s, "grokked", 40, ra=0.5, ta=0.405) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "paper", "UES", "update 50")
    assert 0 < verdict["effect"] < 0.1
    assert verdict["verdict"] == "exploratory"


def test_a_small_negative_ues_counts_as_negative(hand):
    """UA falls by 0.05, RA by 1, and TA rises by 0.1: UES = 0.05 / (1·(−0.1)) = −0.5 in one model of sixteen."""
    before = [hand.path(s, "pre_grok", 40) for s in hand.seeds]
    after = [hand.path(s, "grokked", 40, **({"ra": 0.0, "ta": 1.0, "end": 0.95} if s == 0 else {})) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "paper", "UES", "update 50")
    assert "from -0.5 to" in verdict["note"]
    assert "negative in 1 of 16" in verdict["note"]


def test_a_ues_of_0_is_not_negative(hand):
    """UA that does not move makes UES 0."""
    paths = hand.pairs([None] * 8, [None] * 8)
    moved = [
        [{**row, "RA": row["RA"] - 0.1 * (row["dose"] > 0), "TA": 0.9 - 0.1 * (row["dose"] > 0)} for row in path]
        for path in paths
    ]
    found = hand.pick(hand.verdicts(hand.recipe(), *moved), "paper", "UES", "update 50")
    assert found["note"].startswith("defined in 8 of 8 pairs; unstable: from 0 to 0, negative in 0 of 16")
