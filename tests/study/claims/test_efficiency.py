"""Efficiency in its readings, on hand-made paths, against effects worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ungrok.study.inference import Differences, family
from ungrok.study.statistics import sign_flip


def test_fewer_updates_after_grokking_support_efficiency(hand):
    before, after = [40 + s for s in hand.seeds], [20 + s for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs(before, after)), "efficiency", "updates")
    assert verdict["effect"] == pytest.approx(np.mean(np.log(np.array(before) / np.array(after))))
    assert (verdict["unit"], verdict["verdict"], verdict["n_seeds"], verdict["note"], verdict["headline"]) == (
        "log ratio of updates", "supported", 8, "", True,
    )  # fmt: skip
    assert verdict["ci_low"] > 0


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


def test_a_path_that_never_gets_there_counts_with_all_its_updates(hand):
    """Four pairs of 30 and more than 100 updates, four of 30 and 60: the ratio of restricted times."""
    verdicts = hand.verdicts(hand.recipe(), *hand.pairs([30] * 8, [None] * 4 + [60] * 4))
    verdict = hand.pick(verdicts, "efficiency", "updates")
    assert verdict["effect"] == pytest.approx((4 * math.log(0.3) + 4 * math.log(0.5)) / 8)
    assert verdict["unit"] == "log ratio of updates, restricted to 100"
    assert "target not reached: 0 → 4 of 8" in verdict["note"]
    assert "among 4 pairs in which both got there: × 0.5" in verdict["note"]
    assert (verdict["verdict"], tuple(verdict["wins"])) == ("refuted", (0, 8, 0))


def test_pairs_in_which_neither_gets_there_are_undecided_and_count_as_equal(hand):
    verdict = hand.pick(
        hand.verdicts(hand.recipe(), *hand.pairs([None, None, 50, *[60] * 5], [None, None, *[30] * 6])),
        "efficiency",
        "updates",
    )
    assert tuple(verdict["wins"]) == (6, 0, 2)
    assert verdict["effect"] == pytest.approx((math.log(5 / 3) + 5 * math.log(2)) / 8)


def test_getting_there_with_the_last_update_wins_against_not_getting_there(hand):
    verdicts = hand.verdicts(hand.recipe(), *hand.pairs([100] * 8, [None] * 7 + [100]))
    verdict = hand.pick(verdicts, "efficiency", "updates")
    assert (verdict["effect"], tuple(verdict["wins"])) == (0, (0, 7, 1))


def test_no_difference_cannot_be_claimed_where_a_path_never_got_there(hand):
    verdict = hand.pick(
        hand.verdicts(hand.recipe(), *hand.pairs([30] * 7 + [None], [30] * 7 + [None])), "efficiency", "updates"
    )
    assert (verdict["effect"], verdict["verdict"]) == (0, "inconclusive")
    assert "no difference cannot be claimed" in verdict["note"]


def test_censored_strengths_are_compared_as_updates_are(hand):
    weak, strong = [1e-6] * 8, [1e-4] * 7 + [None]
    paths = [
        hand.path(s, stage, hit[s]) for stage, hit in (("pre_grok", weak), ("grokked", strong)) for s in hand.seeds
    ]
    rows = [[{**row, "updates": None} for row in rows] for rows in paths]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *rows), "efficiency", "strength")
    assert verdict["effect"] == pytest.approx((7 * math.log(1e-2) + math.log(1e-8)) / 8)
    assert verdict["unit"] == "log ratio of strength, restricted to 100"


def test_where_no_path_gets_there_nothing_is_said(hand):
    verdicts = hand.verdicts(hand.recipe(), *hand.pairs([None] * 8, [None] * 8))
    notes = ("everything censored", "no pair in which both reached the target")
    for (claim, metric), note in zip((("efficiency", "updates"), ("collateral", "TA")), notes, strict=True):
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
    assert (verdict["verdict"], verdict["n_seeds"]) == ("exploratory", 0)
    assert "no oracle in 8 of 8 pairs" in verdict["note"]


def test_a_target_reached_beyond_the_common_budget_is_censored(hand):
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs([110] * 8, [120] * 8)), "efficiency", "updates")
    assert "everything censored" in verdict["note"]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs([30] * 8, [120] * 8)), "efficiency", "updates")
    assert verdict["effect"] == pytest.approx(math.log(0.3))


def test_the_end_of_the_path_is_still_within_it(hand):
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs([50] * 8, [100] * 8)), "efficiency", "updates")
    assert (verdict["unit"], verdict["effect"]) == ("log ratio of updates", pytest.approx(-math.log(2)))
    assert verdict["note"] == ""


@pytest.mark.parametrize(("updates", "note"), [(20, ""), (19, "median of only 19 updates")])
def test_few_updates_are_said_to_be_coarse(hand, updates, note):
    for before, after in (([updates] * 8, [60] * 8), ([60] * 8, [updates] * 8)):
        verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs(before, after)), "efficiency", "updates")
        assert verdict["note"] == note


def test_the_distance_moved_is_that_at_the_target(hand):
    """The function has moved by 0.4·30/100 and by 0.2·(60 + s)/100 where UA first is 0."""
    paths = [hand.path(s, "pre_grok", 30, moved=0.4) for s in hand.seeds]
    paths += [hand.path(s, "grokked", 60 + s, moved=0.2) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "efficiency", "moved_retain", reading="distance")
    logs = [math.log(0.4 * 30 / (0.2 * (60 + s))) for s in hand.seeds]
    assert verdict["effect"] == pytest.approx(np.mean(logs))
    assert (verdict["headline"], verdict["unit"]) == (True, "log ratio of function distance on retained data")


def test_distance_is_compared_among_the_pairs_that_got_there(hand):
    paths = [hand.path(s, "pre_grok", 30, moved=0.4) for s in hand.seeds]
    paths += [hand.path(s, "grokked", None if s < 2 else 30, moved=0.1) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "efficiency", "moved_retain", reading="distance")
    assert (verdict["n_seeds"], verdict["effect"]) == (6, pytest.approx(math.log(4)))


def test_rows_of_the_headline_are_tested_together(hand):
    """The interval of a row is that of the joint test of all rows, here the updates, the damage, the gap and no spread."""
    before, after = [40 + 3 * s for s in hand.seeds], [20 + s for s in hand.seeds]
    paths = [hand.path(s, "pre_grok", before[s], ta=0.6 + (s % 3) / 50) for s in hand.seeds]
    paths += [hand.path(s, "grokked", after[s], ta=0.6 + (s % 2) / 50) for s in hand.seeds]
    verdicts = hand.verdicts(hand.recipe(), *paths)
    times = np.log(np.array(before) / np.array(after))
    damage = np.array([(s % 2) / 50 - (s % 3) / 50 for s in hand.seeds])
    members = [v for v in verdicts.values() if v["headline"]]
    assert [v["claim"] for v in members] == ["efficiency", "collateral", "stability", "oracle_gap"]
    gap = np.zeros(8)
    spread = hand.pick(verdicts, "stability", "TA")
    assert spread["effect"] == pytest.approx(
        math.log(np.std([(s % 3) / 50 for s in hand.seeds]) / np.std([(s % 2) / 50 for s in hand.seeds]))
    )
    least = family([Differences(times), Differences(damage), Differences(gap)], 8)
    efficiency = hand.pick(verdicts, "efficiency", "updates")
    assert efficiency["ci_low"] <= least[0].low + 1e-9  # the spread's row can only widen it
    assert efficiency["ci_low"] <= sign_flip(times).low + 1e-9
    assert efficiency["p_value"] >= least[0].p_value


SEARCH = "unlearn=[{kind: gradient_ascent, lr: {auto: 4.0e-4}}]"


def at_rates(hand, after_twice_ra, **more):
    """Return paths at half, once and twice the rate: 40, 20, 10 updates before, 80, 40, 11 after, where the last may do damage."""
    updates = {" lr=0.0002": (40, 80), "": (20, 40), " lr=0.0008": (10, 11)}
    for suffix, both in updates.items():
        for stage, hit in zip(("pre_grok", "grokked"), both, strict=True):
            ra = after_twice_ra if hit == 11 else 1.0
            for seed in hand.seeds:
                yield hand.path(seed, stage, hit, ra=ra, method=f"gradient_ascent{suffix}", **more)


@pytest.mark.parametrize(
    ("ra", "override", "ratio"),
    [(0.99, "search.damage=0.02", 10 / 11), (0.9, "search.damage=0.02", 10 / 40), (0.9, "search.damage=0.1", 10 / 11)],
)
def test_at_its_own_rate_each_side_takes_the_fewest_updates_that_do_little_damage(hand, ra, override, ratio):
    verdicts = hand.verdicts(hand.recipe(SEARCH, override), *at_rates(hand, ra))
    own, same = (hand.pick(verdicts, "efficiency", "updates", reading=name) for name in ("own_rate", "same_rate"))
    assert own["effect"] == pytest.approx(math.log(ratio))
    assert same["effect"] == pytest.approx(math.log(20 / 40))
    assert own["headline"]


@pytest.mark.parametrize(("best", "word"), [(" lr=0.0008", "inconclusive"), ("", "refuted")])
def test_a_word_at_own_rates_needs_the_best_rate_of_most_paths_inside_the_grid(hand, best, word):
    """Were the grid longer, the best rate and its count of updates might be others."""
    paths = [
        hand.path(seed, stage, (10 if name == best else 30) * side, ra=1.0, method=f"gradient_ascent{name}")
        for name in (" lr=0.0002", "", " lr=0.0008")
        for side, stage in enumerate(("pre_grok", "grokked"), start=1)
        for seed in hand.seeds
    ]
    own = hand.pick(hand.verdicts(hand.recipe(SEARCH), *paths), "efficiency", "updates", reading="own_rate")
    assert own["effect"] == pytest.approx(math.log(1 / 2))
    assert own["verdict"] == word
    assert ("best rates not found" in own["note"]) == (word == "inconclusive")


def test_there_is_no_own_rate_at_targets_beyond_the_one_where_a_search_ends(hand):
    recipe = hand.recipe(SEARCH, "claims.targets=[0.5, 0.1]")
    verdicts = hand.verdicts(recipe, *at_rates(hand, 1.0, **{"reached_0.5": False}))
    assert {at for _, reading, _, at, _ in verdicts if reading == "own_rate"} == {"UA ≤ 0.5"}
    assert {at for _, reading, _, at, _ in verdicts if reading == "same_rate"} == {"UA ≤ 0.5", "UA ≤ 0.1"}


def test_distance_at_unequal_ends_gets_no_word(hand):
    """A method that stops by itself has moved less where it has not forgotten: UA 0 here and 1 there."""
    paths = [hand.path(s, "pre_grok", 30, moved=0.4 + s / 100, method="nabla_tau") for s in hand.seeds]
    paths += [hand.path(s, "grokked", None, moved=0.1, method="nabla_tau") for s in hand.seeds]
    verdicts = hand.verdicts(hand.recipe("unlearn=[{kind: nabla_tau}]"), *paths)
    moved = hand.pick(verdicts, "efficiency", "moved_retain", "end of the path", "nabla_tau", "distance")
    assert (moved["verdict"], moved["headline"], moved["ci_low"] > 0) == ("inconclusive", True, True)
    assert moved["note"].startswith("mean UA 0.00 → 1.00: forgetting is too unequal")
