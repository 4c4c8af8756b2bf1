"""Truths planted with noise, as benchmarks/planted.py counts them over more studies."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks" / "planted.py"
STUDIES = 40
ALLOWED = 0.05 + 2 * math.sqrt(0.05 * 0.95 / STUDIES)


@pytest.fixture(scope="module")
def planted(script):
    return script


def test_the_oracle_taken_as_an_unlearner_is_found_to_do_damage_as_rarely_as_promised(planted):
    assert planted.share(STUDIES, planted.oracle, "collateral") <= ALLOWED


def test_the_raw_fall_of_test_accuracy_would_be_taken_for_damage_of_the_oracle(planted):
    rows = planted.study(np.random.default_rng(0), 10, planted.oracle)
    raw = [verdict for verdict in planted.judged(rows, headline_only=False) if verdict.metric == "TA drop"]
    assert len(raw) == 2
    assert all(verdict.effect.interval[1] < 0 for verdict in raw)


def test_predictions_changed_on_the_forgotten_class_alone_are_damage_as_rarely_as_promised(planted):
    assert planted.share(STUDIES, planted.forgotten_only, "collateral") <= ALLOWED


def test_without_unlearning_a_word_is_as_rare_as_promised_and_a_method_with_a_target_has_none(planted):
    assert planted.share(STUDIES, planted.nothing, None) <= ALLOWED
    verdicts = planted.judged(planted.study(np.random.default_rng(0), 10, planted.nothing))
    mute = [verdict for verdict in verdicts if verdict.method == planted.ITERATIVE]
    assert len(mute) == 5
    assert {(verdict.word, verdict.effect.value) for verdict in mute} == {("inconclusive", None)}


@pytest.mark.parametrize(("unlearner", "claim"), [("forgotten_only", "collateral"), ("nothing", None)])
def test_what_retraining_loses_on_one_side_alone_is_no_damage(planted, unlearner, claim):
    assert planted.share(STUDIES, getattr(planted, unlearner), claim, planted.UNEQUAL) <= ALLOWED


def test_damage_that_is_planted_is_found(planted):
    assert planted.share(5, planted.harmful, "collateral") == 1.0


@pytest.mark.parametrize(("reading", "change"), [("own_rate", 0.0), ("distance", 0.0), ("same_rate", math.log(2))])
def test_doubling_the_rate_of_one_stage_changes_effects_at_the_same_rate_alone(planted, reading, change):
    for seed in range(4):
        once, twice = planted.doubled(seed, reading)
        assert twice.effect.value - once.effect.value == pytest.approx(change, abs=1e-9)
        # The row at the same rate is tested after the others, whose intervals and words do not depend on it.
        if not change:
            assert twice.effect.interval == pytest.approx(once.effect.interval)
            assert (twice.word, twice.p_value) == (once.word, once.p_value)
