"""What is left beyond the oracle, and inference over swapped pairs of seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ungrok.study.calibrate import calibrate
from ungrok.study.claims import Doses, paths_of
from ungrok.study.inference import Differences, family

OWN = (
    "trajectory.exposure={kind: staggered, within: class}",
    "stages=[final]",
    "forget=[{kind: exposed, group: late, size: 6}, {kind: exposed, group: early, size: 6}]",
    "unlearn=[{kind: gradient_ascent}]",
    "claims.targets=[0.1, oracle]",
    "claims.compare=[[{stage: final, forget: late-6}, {stage: final, forget: early-6}]]",
)


def recipe(hand, seeds=12, *overrides):
    return hand.tiny(*OWN, f"seeds={list(range(seeds))}", *overrides)


def paths(hand, late, early, left=(0.5, 0.5)):
    """Return paths that reach UA 0 at given updates, and stand at UA ``left`` at the matched dose, by group."""
    every = []
    for seed in range(len(late)):
        for forget, hits, ua in (("late-6", late, left[0]), ("early-6", early, left[1])):
            rows = hand.path(seed, "final", hits[seed], oracle_UA=0.2, UA_start=1.0)
            for row in rows:
                row["forget"] = forget
                if row["dose"] == 50.0:
                    row["UA"] = ua if not hasattr(ua, "__len__") else ua[seed]
            every.append(rows)
    return every


def test_what_is_left_is_read_at_the_matched_dose_beyond_the_oracle(hand):
    left = np.linspace(0.5, 0.6, 12)
    verdicts = hand.verdicts(recipe(hand), *paths(hand, [80] * 12, [80] * 12, (left, left - 0.25)))
    verdict = hand.pick(verdicts, "beyond_oracle", "UA", "update 50")
    assert (verdict["effect"], verdict["verdict"], verdict["headline"]) == (pytest.approx(0.25), "supported", True)
    assert verdict["n_seeds"] == 6


def test_only_studies_of_exposure_read_it(hand):
    verdicts = hand.verdicts(hand.recipe(), *hand.pairs([40 + s for s in hand.seeds], [20] * 8))
    assert not [key for key in verdicts if key[0] == "beyond_oracle"]


def test_a_swapped_pair_is_one_observation(hand):
    """The effect of a seed is that of its examples plus that of their being early; the pair's mean holds the second alone."""
    draw = np.random.default_rng(0)
    examples, shift = draw.normal(0, 0.9, 6), 0.15
    differences = np.repeat(examples, 2) * np.tile([1, -1], 6) + shift + draw.normal(0, 0.02, 12)
    late = np.round(30 * np.exp(differences / 2)).tolist()
    early = np.round(30 * np.exp(-differences / 2)).tolist()
    verdict = hand.pick(hand.verdicts(recipe(hand), *paths(hand, late, early)), "efficiency", "updates")
    own = np.log(np.array(late) / np.array(early)).reshape(6, 2).mean(axis=1)
    expected = family([Differences(own)], 6)[0]
    assert verdict["effect"] == pytest.approx(own.mean())
    assert (verdict["ci_low"], verdict["ci_high"]) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert expected.low > 0 > family([Differences(np.log(np.array(late) / np.array(early)))], 12)[0].low


def test_ten_seeds_are_five_pairs_and_decide_nothing(hand):
    verdicts = hand.verdicts(recipe(hand, 10), *paths(hand, [60] * 10, [30] * 10))
    verdict = hand.pick(verdicts, "efficiency", "updates")
    assert (verdict["verdict"], verdict["n_seeds"]) == ("exploratory", 5)
    assert verdict["note"].startswith("under six swapped pairs of seeds: nothing can be decided with 5")


def test_a_pair_of_which_one_seed_is_missing_is_not_counted(hand):
    every = paths(hand, [60 + s for s in range(14)], [30] * 14)
    verdict = hand.pick(hand.verdicts(recipe(hand, 14), *every[:-1]), "efficiency", "updates")
    assert (verdict["n_seeds"], verdict["verdict"]) == (6, "supported")
    assert "1 of 7 swapped pairs of seeds lack a stage" in verdict["note"]


def test_calibration_swaps_whole_pairs(hand):
    """A word in 1 of the 32 draws: that in which no pair, or every pair, changes sides."""
    own = recipe(hand, 12, "claims.headline={metrics: [same_rate], target: 0.1}")
    rows = pd.DataFrame([row for each in paths(hand, [60 + s for s in range(12)], [30] * 12) for row in each])
    rows = rows.astype({"reached_0.1": "boolean", "reached_oracle": "boolean"})
    tried = calibrate([paths_of(rows)], own, {"gradient_ascent": Doses(100.0, 50.0)}, draws=100)
    assert (tried.draws, tried.words) == (32, 1)


def test_the_headline_of_an_exposure_may_hold_it(hand):
    own = recipe(hand, 12, "claims.headline={target: oracle, metrics: [beyond_oracle, same_rate]}")
    verdicts = hand.verdicts(own, *paths(hand, [60 + s for s in range(12)], [30] * 12, (0.8, 0.3)))
    assert {key[0] for key, verdict in verdicts.items() if verdict["headline"]} == {"beyond_oracle", "efficiency"}
