"""Truths planted in rows made by hand: what verdicts must not say, whatever the test's level."""

from __future__ import annotations

import numpy as np
import pytest

from ungrok.study.rates import rated

NOMINAL = 0.01
GRID = (NOMINAL / 8, NOMINAL / 4, NOMINAL / 2, NOMINAL, NOMINAL * 2, NOMINAL * 4, NOMINAL * 8)
SIDES = ("pre_grok", "grokked")


def directions(verdicts):
    """Return the rows of the headline that were given a direction, by claim, reading and metric."""
    return {
        key[:3]: v["verdict"]
        for key, v in verdicts.items()
        if v["verdict"] in ("supported", "refuted") and not any(n["code"].startswith("no_diff") for n in v["notes"])
    }


def headline(verdicts):
    return {key[:3] for key, v in verdicts.items() if v["headline"]}


def by_chance(seed, stage):
    """Return how an oracle differs from its model by chance: in half of the seeds more on one side, in half on the other."""
    return 0.004 if (seed % 2 == 0) == (stage == "grokked") else -0.004


@pytest.fixture
def drawn():
    return np.random.default_rng(0)


def test_the_oracle_taken_as_an_unlearner_does_no_damage(hand, drawn):
    """Its test accuracy falls by what forgetting a class costs, and the later model had more to lose."""
    paths = []
    for stage, start in zip(SIDES, (0.80, 0.95), strict=True):
        for seed in hand.seeds:
            oracle = start - 0.1 * start + drawn.normal(0, 0.003)
            path = hand.path(seed, stage, 30, ra=1.0, ta=oracle, oracle_ta=oracle, oracle=0.0)
            path[0]["TA"] = start
            paths.append(path)
    verdicts = hand.verdicts(hand.recipe(), *paths)
    assert ("collateral", "", "TA") in headline(verdicts)
    assert hand.pick(verdicts, "collateral", "TA")["effect"] == pytest.approx(0.0)
    assert "collateral" not in {claim for claim, _, _ in directions(verdicts)}
    # The raw fall is not the same on both sides: that is what a word would have been given to.
    assert hand.pick(verdicts, "collateral", "TA drop")["ci_high"] < 0


def test_changed_predictions_on_what_is_forgotten_are_no_damage(hand, drawn):
    """Test accuracy falls with the class that is forgotten, by different amounts, and bystanders stay as they are."""
    paths = []
    for stage, ta in zip(SIDES, (0.85, 0.70), strict=True):
        for seed in hand.seeds:
            others = 0.9 + drawn.normal(0, 0.01)
            bystanders = {"bystander_accuracy": others, "oracle_bystander_accuracy": others + by_chance(seed, stage)}
            paths.append(hand.path(seed, stage, 30, ra=1.0, ta=ta, oracle=0.0, **bystanders))
    verdicts = hand.verdicts(hand.recipe(), *paths)
    assert ("collateral", "", "bystander_accuracy") in headline(verdicts)
    assert not {key for key in directions(verdicts) if key[0] == "collateral"}
    assert hand.pick(verdicts, "collateral", "TA drop")["ci_high"] < 0


def test_changed_predictions_on_forgotten_examples_are_no_damage(hand):
    """Test data stay as they were; the oracle differs from the model there by chance alone, and the sides by much."""
    paths = []
    for stage, ta in zip(SIDES, (0.70, 0.95), strict=True):
        for seed in hand.seeds:
            path = hand.path(seed, stage, 30, ra=1.0, oracle=0.0, oracle_ta=ta + by_chance(seed, stage))
            paths.append([row | {"TA": ta} for row in path])
    verdicts = hand.verdicts(hand.recipe(), *paths)
    assert ("collateral", "", "TA") in headline(verdicts)
    assert not {key for key in directions(verdicts) if key[0] == "collateral"}


def test_without_any_unlearning_no_word_is_given(hand, drawn):
    """The models differ in everything before the first update and in nothing afterwards."""
    paths = []
    for stage, spread, gap in zip(SIDES, (0.05, 0.005), (0.3, 0.05), strict=True):
        for seed in hand.seeds:
            path = hand.path(seed, stage, None, oracle_ta=0.9 + drawn.normal(0, spread), moved=0.0)
            same = {"TA": 0.85 + drawn.normal(0, spread), "RA": 1 - abs(drawn.normal(0, spread)), "oracle_gap": gap}
            paths.append([row | same for row in path])
    verdicts = hand.verdicts(hand.recipe(), *paths)
    assert len(headline(verdicts)) >= 4
    assert {v["verdict"] for v in verdicts.values() if v["headline"]} == {"inconclusive"}


def searched_path(hand, seed, stage, rate, needed, harm):
    """Return a path whose updates are in inverse proportion to its rate, and whose damage grows with the rate beyond ``harm``."""
    name = "gradient_ascent" if rate == NOMINAL else rated("gradient_ascent", rate)
    lost = 0.004 * rate / harm
    # In units of a hundredth, so that a factor of two is exact where doses are whole numbers.
    hit = round(needed * NOMINAL / rate)
    validation = {"oracle_validation_accuracy": 0.9}
    path = hand.path(seed, stage, hit if hit <= 100 else None, ta=0.85 - lost, method=name, moved=lost, **validation)
    return [row | {"validation_accuracy": 0.9 - lost if row["UA"] == 0 else 0.9} for row in path]


def study_of(hand, recipe, before, after, doubled=1):
    """Return the verdicts where both sides need so many updates at the nominal rate; the rates of the later side count as more."""
    paths = []
    for seed in hand.seeds:
        for stage, needed in zip(SIDES, (before[seed], after[seed]), strict=True):
            factor = doubled if stage == "grokked" else 1
            for rate in GRID:
                path = searched_path(hand, seed, stage, rate * factor, needed, NOMINAL)
                name = "gradient_ascent" if rate == NOMINAL else rated("gradient_ascent", rate)
                paths.append([row | {"method": name} for row in path])
    return hand.verdicts(recipe, *paths)


@pytest.mark.parametrize("later", [64, 32, 16])
def test_doubling_the_rate_of_one_side_changes_no_word_at_its_own_rate(hand, later):
    recipe = hand.recipe(
        f"unlearn=[{{kind: gradient_ascent, lr: {NOMINAL}}}]",
        "search={settings: {gradient_ascent: lr}}",
        "claims.targets=[0.1]",
    )
    draw = np.random.default_rng(1)
    before, after = ([8 * k for k in draw.integers(size // 8 - 1, size // 8 + 2, 8)] for size in (32, later))
    plain, doubled = (study_of(hand, recipe, before, after, factor) for factor in (1, 2))
    own = [("efficiency", "own_rate", "updates"), ("collateral", "", "TA"), ("efficiency", "distance", "moved_retain")]
    for verdicts in (plain, doubled):
        assert set(own) <= headline(verdicts)
    assert [directions(plain).get(key) for key in own] == [directions(doubled).get(key) for key in own]
    for key in own:
        first, second = (v[(*key, "UA ≤ 0.1", "gradient_ascent")]["effect"] for v in (plain, doubled))
        assert first == pytest.approx(second)
    expected = {64: "refuted", 32: None, 16: "supported"}[later]
    assert directions(plain).get(own[0]) == expected
    # At one rate the doubled side needs half as many updates, and the answer turns.
    same = [hand.pick(verdicts, "efficiency", "updates")["effect"] for verdicts in (plain, doubled)]
    assert same[1] - same[0] == pytest.approx(np.log(2), abs=0.02)
