"""RMIA: the definition written out, what leaves it as it is, and a null of one half."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from ungrok.audits.rmia import rmia
from ungrok.core.errors import RecipeError


def slow(target, out, target_z, out_z, a, gamma):
    """Return scores, shape (models, examples), pair by pair."""
    p = [(1 + a) / 2 * side.mean(axis=0) + (1 - a) / 2 for side in (out, out_z)]
    scores = np.empty(target.shape)
    for model in range(len(target)):
        for x in range(target.shape[1]):
            ratios = (target[model, x] / p[0][x]) / (target_z[model] / p[1])
            scores[model, x] = (ratios >= gamma).mean()
    return scores


def draw(seed, targets=5, outs=6, examples=7, population=40):
    rng = np.random.default_rng(seed)
    sizes = (targets, examples), (outs, examples), (targets, population), (outs, population)
    return [rng.uniform(0.05, 0.95, size) for size in sizes]


@pytest.mark.parametrize(("a", "gamma"), [(0.3, 1.0), (0.0, 1.5), (1.0, 0.8)])
def test_scores_are_those_of_the_definition(a, gamma):
    target, out, target_z, out_z = draw(0)
    outcome = rmia(target, out, population=(target_z, out_z), a=a, gamma=gamma, draws=2)
    expected = slow(target, out, target_z, out_z, a, gamma)
    assert_allclose(outcome.scores, expected, atol=1e-12)
    assert_allclose(outcome.values, expected.mean(axis=0), atol=1e-12)


def test_the_public_code_counts_ties_otherwise_and_nothing_else():
    # ml_privacy_meter asks for ratios above 1; without ties that is the same number.
    target, out, target_z, out_z = draw(1, targets=1)
    mean, mean_z = (1.3 / 2 * side.mean(axis=0) + 0.7 / 2 for side in (out, out_z))
    ratio, ratio_z = target[0] / mean, target_z[0] / mean_z
    expected = np.average(ratio[:, None] / ratio_z > 1.0, axis=1)
    assert_allclose(rmia(target[0], out, population=(target_z[0], out_z), draws=2).values, expected, atol=1e-12)


def test_a_target_that_is_the_mean_of_the_others_has_ratios_of_one():
    _, out, _, out_z = draw(2)
    outcome = rmia(out.mean(axis=0), out, population=(out_z.mean(axis=0), out_z), a=1.0, draws=2)
    assert (outcome.values == 1).all()


def test_a_common_factor_changes_nothing():
    target, out, target_z, out_z = draw(3)
    one, other = (rmia(f * target, out, population=(f * target_z, out_z), draws=2).scores for f in (1.0, 0.37))
    assert (one == other).all()


def test_models_that_never_saw_the_examples_give_one_half():
    rng = np.random.default_rng(4)
    aucs = []
    for _ in range(24):
        hard = rng.normal(size=130)
        signals = 1 / (1 + np.exp(-(hard + rng.normal(size=(24, 130)))))
        outcome = rmia(signals[:10, :30], signals[10:, :30], population=(signals[:10, 30:], signals[10:, 30:]), draws=4)
        aucs.append(outcome.auc)
    assert abs(np.mean(aucs) - 0.5) < 4 * stats.sem(aucs)
    assert stats.sem(aucs) < 0.006


def test_members_score_higher_than_the_null():
    rng = np.random.default_rng(5)
    margins = rng.normal(size=(24, 130))
    margins[:12, :30] += 3
    signals = 1 / (1 + np.exp(-margins))
    population = (signals[:12, 30:], signals[12:, 30:])
    outcome = rmia(signals[:12, :30], signals[12:, :30], population=population, original=signals[:12], draws=40)
    assert outcome.auc > 0.9
    assert outcome.excess_interval.low > outcome.null.upper
    assert outcome.null.models == (6, 6)
    assert outcome.needed.value == pytest.approx(outcome.auc - 0.5)
    single = rmia(signals[0, :30], signals[12:, :30], population=(signals[0, 30:], signals[12:, 30:]), draws=4)
    assert single.auc > 0.9
    assert single.null.models == (1, 11)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": 1.5}, "a: 1.5 must lie between 0 and 1"),
        ({"gamma": 0.0}, "gamma: 0.0 above 0"),
        ({"target": np.full((5, 7), 1.5)}, "target: probabilities between 0 and 1 are needed, not 1.5 to 1.5"),
        ({"target": np.full((4, 7), 0.5)}, "population: 5 models have signals there, and 4 in target"),
        ({"target": np.full((5, 6), 0.5)}, "target and out have 6 and 7 examples"),
        ({"out": np.full((3, 7), 0.5)}, "out: 3 models are too few"),
    ],
)
def test_what_is_refused(change, message):
    target, out, target_z, out_z = draw(6)
    arguments = {"target": target, "out": out, "population": (target_z, out_z)} | change
    with pytest.raises(RecipeError, match=message):
        rmia(**arguments)
