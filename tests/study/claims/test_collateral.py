"""Collateral damage on hand-made paths."""

from __future__ import annotations

import numpy as np
import pytest


def test_damage_is_what_was_lost_beyond_the_oracle(hand):
    """TA ends at 0.6 and 0.8 where the oracles have 0.7 and 0.85: 0.1 and 0.05 beyond them, whatever the start."""
    before = [hand.path(s, "pre_grok", 30, ta=0.6 + s / 1000, oracle_ta=0.7) for s in hand.seeds]
    after = [hand.path(s, "grokked", 30, ta=0.8, oracle_ta=0.85) for s in hand.seeds]
    verdicts = hand.verdicts(hand.recipe(), *before, *after)
    damage = hand.pick(verdicts, "collateral", "TA")
    assert damage["effect"] == pytest.approx(np.mean([0.1 - s / 1000 - 0.05 for s in hand.seeds]))
    assert (damage["verdict"], damage["headline"]) == ("supported", True)
    drop = hand.pick(verdicts, "collateral", "TA drop")
    assert drop["effect"] == pytest.approx(np.mean([0.3 - s / 1000 - 0.1 for s in hand.seeds]))
    assert (drop["verdict"], drop["headline"]) == ("exploratory", False)


def test_the_oracle_as_an_unlearner_does_no_damage(hand):
    """Both sides lose exactly what retraining loses; the drops differ, since a class is gone from the test data."""
    before = [hand.path(s, "pre_grok", 30, ta=0.70, oracle_ta=0.70) for s in hand.seeds]
    after = [hand.path(s, "grokked", 30, ta=0.80 + s / 100, oracle_ta=0.80 + s / 100) for s in hand.seeds]
    verdicts = hand.verdicts(hand.recipe(), *before, *after)
    assert hand.pick(verdicts, "collateral", "TA")["effect"] == pytest.approx(0)
    assert hand.pick(verdicts, "collateral", "TA")["verdict"] == "inconclusive"
    assert hand.pick(verdicts, "collateral", "TA drop")["effect"] > 0.1


def test_bystanders_stand_in_the_headline_where_there_are_some(hand):
    paths = hand.pairs([30] * 8, [30] * 8, bystander_accuracy=0.8, oracle_bystander_accuracy=0.9)
    verdicts = hand.verdicts(hand.recipe(), *paths)
    assert hand.pick(verdicts, "collateral", "bystander_accuracy")["headline"]
    assert not hand.pick(verdicts, "collateral", "TA")["headline"]


@pytest.mark.parametrize(("hit", "code"), [(30, "oracle_lacks"), (None, "never_both")])
def test_an_oracle_without_the_accuracy_is_said_to_lack_it(hand, hit, code):
    """Rows of earlier versions hold bystander accuracy, but not that of the oracle."""
    paths = hand.pairs([hit] * 8, [hit] * 8, bystander_accuracy=0.8)
    damage = hand.pick(hand.verdicts(hand.recipe(), *paths), "collateral", "bystander_accuracy")
    assert (damage["effect"], damage["headline"], damage["notes"][0]["code"]) == (None, True, code)


def test_retained_accuracy_is_read_from_the_start(hand):
    before = [hand.path(s, "pre_grok", 30, ra=0.8 - s / 100) for s in hand.seeds]
    after = [hand.path(s, "grokked", 30, ra=0.9) for s in hand.seeds]
    ra = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "collateral", "RA")
    assert ra["effect"] == pytest.approx(np.mean([(0.2 + s / 100) - 0.1 for s in hand.seeds]))
    assert ra["verdict"] == "exploratory"


def test_pairs_that_did_not_get_there_are_left_out_and_bounded_beside(hand):
    """Seed 0 ends its later path at TA 0.9 without reaching the target: it has lost at least 0.85 − 0.9 beyond the oracle."""
    before = [hand.path(s, "pre_grok", 30, ta=0.7) for s in hand.seeds]
    after = [hand.path(s, "grokked", None if s == 0 else 30, ta=0.8) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "collateral", "TA")
    assert (verdict["n_seeds"], verdict["effect"]) == (7, pytest.approx(0.1))
    assert f"at least 0.150 → {(7 * (0.85 - 0.8) + 0.85 - 0.9) / 8:.3f}" in verdict["note"]


def test_small_differences_of_a_few_seeds_do_not_exclude_collapses(hand):
    """Eight equal pairs leave a share of up to 0.37 of seeds that may differ: 1 − 0.025^(1/8)."""
    verdict = hand.pick(hand.verdicts(hand.recipe(), *hand.pairs([30] * 8, [30] * 8)), "collateral", "TA")
    assert (verdict["effect"], verdict["verdict"]) == (0, "inconclusive")
    assert f"a share of up to {1 - 0.025 ** (1 / 8):.2f} of seeds may differ by more" in verdict["note"]


def test_with_a_search_damage_is_read_at_each_sides_own_rate(hand):
    """At the starting rate the later side never gets there; at twice the rate it does, at TA 0.75, and the earlier side loses too much."""
    recipe = hand.recipe("unlearn=[{kind: gradient_ascent, lr: {auto: 0.001}}]")
    twice = "gradient_ascent lr=0.002"
    known = {"validation_accuracy": 0.9, "oracle_validation_accuracy": 0.9}
    paths = [hand.path(s, "pre_grok", 40, ta=0.7, **known) for s in hand.seeds]
    paths += [hand.path(s, "grokked", None, **known) for s in hand.seeds]
    paths += [
        hand.path(s, "pre_grok", 20, ta=0.1, method=twice, **known | {"validation_accuracy": 0.3}) for s in hand.seeds
    ]
    paths += [hand.path(s, "grokked", 80, ta=0.75, method=twice, **known) for s in hand.seeds]
    half = "gradient_ascent lr=0.0005"
    paths += [hand.path(s, stage, None, method=half, **known) for s in hand.seeds for stage in ("pre_grok", "grokked")]
    verdicts = hand.verdicts(recipe, *paths)
    own = hand.pick(verdicts, "collateral", "TA")
    assert (own["effect"], own["headline"], own["n_seeds"]) == (pytest.approx(0.75 - 0.7), True, 8)
    assert "each side at its own rate" in own["note"]
    same = hand.pick(verdicts, "collateral", "TA", reading="same_rate")
    assert (same["effect"], same["headline"]) == (None, False)
    updates = hand.pick(verdicts, "efficiency", "updates", reading="own_rate")
    assert updates["effect"] == pytest.approx(np.log(40 / 80))


def test_a_direction_is_named_where_the_fall_from_the_start_has_it_too(hand):
    """Beyond the oracle the earlier side loses 0.1 more; from the start both lose alike, or the earlier side more as well."""
    for before, word in ((0.8, "inconclusive"), (0.7, "supported")):
        paths = [
            hand.path(seed, stage, 30, ra=1.0, ta=ta, oracle_ta=ta + damage + 0.001 * seed)
            for stage, ta, damage in (("pre_grok", before, 0.15), ("grokked", 0.8, 0.05))
            for seed in hand.seeds
        ]
        verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "collateral", "TA")
        assert verdict["effect"] == pytest.approx(0.1)
        assert verdict["ci_low"] > 0
        assert verdict["verdict"] == word
        assert ("only_beyond_oracle" in {note["code"] for note in verdict["notes"]}) == (word == "inconclusive")
