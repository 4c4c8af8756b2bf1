"""The NeurIPS 2023 score: every threshold tried one by one, the known values, and the null."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from ungrok.audits.neurips import epsilons, neurips_score, points
from ungrok.core.errors import RecipeError

DELTA = 1e-5


def gain(positive, negative, chosen):
    """Return ε of a rule that calls some signals positive, None where it does not count."""
    false, missed = chosen(negative).mean(), 1 - chosen(positive).mean()
    if false == 0 and missed == 0:
        return np.inf
    if false == 0 or missed == 0:
        return None
    pairs = [(false, missed), (missed, false)]
    return max([0.0, *(np.log(1 - DELTA - a) - np.log(b) for a, b in pairs if 1 - DELTA - a > 0)])


def slow(unlearned, oracle):
    """Return ε of one example from all thresholds between and at the signals."""
    values = np.unique(np.r_[unlearned, oracle])
    cuts = np.r_[values[0] - 1, (values[1:] + values[:-1]) / 2, values[-1] + 1]
    sides = (oracle, unlearned) if np.median(oracle) > np.median(unlearned) else (unlearned, oracle)
    gains = [gain(*sides, lambda x, cut=cut: x >= cut) for cut in cuts]
    if np.ptp(sides[0]) >= np.ptp(sides[1]):
        sides = sides[::-1]
    gains += [gain(*sides, lambda x, a=a, b=b: (a <= x) & (x <= b)) for a, b in combinations_with_replacement(cuts, 2)]
    ranges = sorted([np.ptp(unlearned), np.ptp(oracle)])
    if ranges[0] < 0.01 * ranges[1]:
        return 50.0
    counted = [one for one in gains if one is not None]
    if not counted:
        return 0.0 if len(values) == 1 else 50.0
    return min(50.0, max(counted))


@pytest.mark.parametrize("sizes", [(6, 6), (5, 8), (9, 4)])
def test_every_threshold_is_tried(sizes):
    rng = np.random.default_rng(sum(sizes))
    unlearned, oracle = rng.normal(0.5, 1.5, (sizes[0], 60)), rng.normal(size=(sizes[1], 60))
    unlearned[:, 50:] += 9
    expected = [slow(unlearned[:, e], oracle[:, e]) for e in range(60)]
    assert len({round(one, 6) for one in expected}) >= 3
    assert max(expected) == 50
    assert_allclose(epsilons(unlearned, oracle), expected, atol=1e-9)


def test_thresholds_cannot_part_equal_signals():
    rng = np.random.default_rng(1)
    unlearned, oracle = rng.integers(0, 5, (2, 7, 150)).astype(float)
    expected = [slow(unlearned[:, e], oracle[:, e]) for e in range(150)]
    assert_allclose(epsilons(unlearned, oracle), expected, atol=1e-9)


def test_a_quarter_wrong_on_both_sides_is_the_logarithm_of_three():
    unlearned, oracle = np.array([[1.0], [2.0], [3.0], [5.0]]), np.array([[4.0], [6.0], [7.0], [8.0]])
    outcome = neurips_score(unlearned, oracle, draws=2)
    assert outcome.values == pytest.approx(np.log(0.75 - DELTA) - np.log(0.25), abs=1e-12)
    assert outcome.values == pytest.approx(np.log(3), abs=2e-5)
    assert outcome.points == 0.25


def test_points_halve_in_bins_of_one_half_up_to_what_so_many_models_can_tell():
    assert points(np.array([0.0, 0.49, 0.5, 1.2, 50.0]), 8).tolist() == [1, 1, 0.5, 0.25, 0]
    # ⌈ln 7⌉ = 2: four bins; ⌈ln 63⌉ = 5: ten.
    assert points(np.array([1.99, 2.0]), 8).tolist() == [0.125, 0]
    assert points(np.array([4.99, 5.0]), 64).tolist() == [2.0**-9, 0]
    assert points(np.array([0.0]), 2).tolist() == [0]


def test_perfect_separation_earns_nothing():
    rng = np.random.default_rng(2)
    oracle = rng.normal(size=(8, 20))
    outcome = neurips_score(oracle + 20, oracle, draws=2)
    assert (outcome.values == 50).all()
    assert outcome.forgetting == 0
    assert outcome.interval.high == pytest.approx(1 - 0.025 ** (1 / 8))


def test_a_narrow_side_is_told_apart_and_equal_constants_are_not():
    wide = np.linspace(-1, 1, 9)[:, None]
    assert epsilons(np.zeros((9, 1)), wide) == 50
    assert epsilons(wide, wide * 0.009) == 50
    assert epsilons(wide, wide * 0.011) < 50
    assert epsilons(np.ones((8, 1)), np.ones((8, 1))) == 0
    assert epsilons(np.ones((8, 1)), np.zeros((8, 1))) == 50


@pytest.mark.parametrize(("models", "known"), [(8, 0.178), (16, 0.126), (64, 0.084)])
def test_equal_models_earn_far_less_than_one(models, known):
    earned = neurips_score(*np.random.default_rng(models).normal(size=(2, models, 300)), draws=2).points
    assert earned.mean() == pytest.approx(known, abs=4 * stats.sem(earned))


def test_the_null_and_the_final_score():
    rng = np.random.default_rng(3)
    unlearned, oracle = rng.normal(2, 1, (32, 40)), rng.normal(size=(32, 40))
    outcome = neurips_score(unlearned, oracle, draws=10, original=unlearned + 9)
    assert outcome.null.models == (16, 16)
    assert outcome.null.center == outcome.null.mean
    assert outcome.forgetting < outcome.null.mean < 0.2
    assert outcome.needed.value > 0.05
    assert outcome.score(retain=(0.9, 1.0), test=(0.6, 0.8)) == pytest.approx(outcome.forgetting * 0.675)
    with pytest.raises(RecipeError, match="must be above 0"):
        outcome.score(retain=(1, 0), test=(1, 1))
