"""Efficiency on hand-made paths, against effects worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ungrok.study.statistics import sign_flip


def test_fewer_updates_after_grokking_support_efficiency(hand):
    before, after = [40 + s for s in hand.seeds], [20 + s for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs(before, after)), "efficiency", "updates")
    expected = sign_flip(np.log(np.array(before) / np.array(after)))
    assert verdict["effect"] == pytest.approx(expected.effect)
    assert (verdict["ci_low"], verdict["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert verdict["p_value"] == 2 / 2**8
    assert (verdict["unit"], verdict["verdict"], verdict["n_seeds"], verdict["note"]) == (
        "log ratio of updates", "supported", 8, "",
    )  # fmt: skip


def test_more_updates_after_grokking_refute_efficiency(hand):
    verdict = hand.pick(
        hand.verdicts(hand.recipe(), *hand.pairs([20] * 8, [40 + s for s in hand.seeds])), "efficiency", "updates"
    )
    assert verdict["verdict"] == "refuted"
    assert verdict["effect"] < -math.log(2) + 1e-9


def test_equal_updates_are_refuted_as_no_difference(hand):
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs([40] * 8, [40] * 8)), "efficiency", "updates")
    assert (verdict["effect"], verdict["verdict"]) == (0, "refuted")
    assert "no difference" in verdict["note"]


def test_censoring_turns_the_ratio_into_restricted_updates(hand):
    verdict = hand.pick(
        hand.verdicts(hand.recipe(), *hand.pairs([30] * 8, [None] * 4 + [60] * 4)), "efficiency", "updates"
    )
    assert verdict["effect"] == pytest.approx(np.mean([30 - 100] * 4 + [30 - 60] * 4))
    assert verdict["unit"] == "updates, restricted to 100"
    assert "target not reached: 0 → 4 of 8" in verdict["note"]
    assert verdict["verdict"] == "refuted"


def test_censored_strengths_are_compared_in_logs(hand):
    weak, strong = [1e-6] * 8, [1e-4] * 7 + [None]
    paths = [
        hand.path(s, stage, hit[s]) for stage, hit in (("pre_grok", weak), ("grokked", strong)) for s in hand.seeds
    ]
    rows = [[{**row, "updates": None} for row in rows] for rows in paths]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *rows), "efficiency", "strength")
    assert verdict["effect"] == pytest.approx((7 * math.log(1e-2) + math.log(1e-8)) / 8)
    assert verdict["unit"] == "log ratio of strength, restricted to 100"


def test_everything_censored_is_inconclusive(hand):
    verdicts = hand.verdicts(hand.recipe(), *hand.pairs([None] * 8, [None] * 8))
    notes = ("everything censored", "no pair in which both reached the target")
    for (claim, metric), note in zip((("efficiency", "updates"), ("collateral", "RA")), notes, strict=True):
        one = hand.pick(verdicts, claim, metric)
        assert (one["verdict"], one["effect"], one["p_value"]) == ("inconclusive", None, None)
        assert note in one["note"]


def test_nothing_to_forget_is_left_out_and_counted(hand):
    paths = [hand.path(s, "pre_grok", 60) for s in hand.seeds]
    paths += [hand.path(s, "grokked", 30, ua0=0.05 if s < 2 else 1.0) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "efficiency", "updates")
    assert verdict["n_seeds"] == 6
    assert "nothing to forget in 2 of 8 pairs" in verdict["note"]
    assert verdict["effect"] == pytest.approx(math.log(2))


def test_without_an_oracle_its_target_is_undefined(hand):
    verdict = hand.pick(
        hand.verdicts(hand.recipe(), *hand.pairs([30] * 8, [60] * 8, oracle=None)),
        "efficiency",
        "updates",
        "UA ≤ oracle",
    )
    assert (verdict["verdict"], verdict["n_seeds"]) == ("inconclusive", 0)
    assert "no oracle in 8 of 8 pairs" in verdict["note"]


def test_a_target_reached_beyond_the_common_budget_is_censored(hand):
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs([110] * 8, [120] * 8)), "efficiency", "updates")
    assert "everything censored" in verdict["note"]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs([30] * 8, [120] * 8)), "efficiency", "updates")
    assert verdict["effect"] == pytest.approx(30 - 100)


def test_the_end_of_the_path_is_still_within_it(hand):
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs([50] * 8, [100] * 8)), "efficiency", "updates")
    assert (verdict["unit"], verdict["effect"]) == ("log ratio of updates", pytest.approx(-math.log(2)))
    assert verdict["note"] == ""


@pytest.mark.parametrize(("updates", "note"), [(20, ""), (19, "median of only 19 updates")])
def test_few_updates_are_said_to_be_coarse(hand, updates, note):
    for before, after in (([updates] * 8, [60] * 8), ([60] * 8, [updates] * 8)):
        verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs(before, after)), "efficiency", "updates")
        assert verdict["note"] == note


def test_the_margin_of_restricted_updates_is_a_share_of_the_mean_before(hand):
    """Before: 7 × 50 and 100 cut off, mean 56.25, so 5.6 updates do not matter; after: 4 more, and 7 more."""
    for more, word in ((4, "refuted"), (7, "refuted")):
        paths = hand.pairs([50] * 7 + [None], [50 + more] * 7 + [None])
        verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "efficiency", "updates")
        assert verdict["effect"] == pytest.approx(-more * 7 / 8)
        assert verdict["note"].startswith("no difference: interval within ±5.625") == (more == 4)
        assert verdict["verdict"] == word
