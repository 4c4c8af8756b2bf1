"""Intervals, nulls and the number of models that is needed, on a statistic whose answers are known: a difference of means."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from ungrok.audits.calibrated import (
    Interval,
    Null,
    Statistic,
    auc_of,
    blocks,
    calibrated,
    interval_around,
    jackknife,
    needed,
    needed_from,
    null_of,
    sides_of,
    signals_of,
    sizes_up_to,
    tpr_of,
    without_groups,
)
from ungrok.core.errors import RecipeError

UNBOUNDED = {"difference": (-np.inf, np.inf)}


def difference(null="halves", center=0.0):
    """Return the difference of the means of both sides, over models and examples."""
    return Statistic(
        table=lambda left, right: (left.mean(axis=0) - right.mean(axis=0),),
        summarize=lambda table: {"difference": float(table[0].mean())},
        judged="difference",
        center=center,
        bounds=UNBOUNDED,
        null=null,
    )


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(size=12)
    without = [{"mean": float(values[kept].mean())} for kept in without_groups(12)]
    assert jackknife(without)["mean"] == pytest.approx(stats.sem(values), abs=1e-12)


def test_groups_of_several_kinds_go_together():
    kept = np.stack(without_groups(3, 45))
    assert kept.shape == (3, 48)
    assert (~kept).sum(axis=0).tolist() == [1] * 48
    assert (~kept[:, :3]).sum(axis=1).tolist() == [1, 1, 1]


def test_the_interval_over_models_is_students():
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(2, 10, 3))
    _, common = calibrated(difference(), left, right, None, draws=2, seed=0)
    means = left.mean(axis=1) - right.mean(axis=1)
    low, high = stats.t.interval(0.95, 9, means.mean(), stats.sem(means))
    assert_allclose(common["over_models"], (low, high), atol=1e-12)
    per_example = left.mean(axis=0) - right.mean(axis=0)
    half = stats.t.ppf(0.975, 9) * stats.sem(per_example)
    assert_allclose(common["over_examples"], (means.mean() - half, means.mean() + half), atol=1e-12)
    joint = np.hypot(half, (high - low) / 2)
    assert_allclose(common["intervals"]["difference"], (means.mean() - joint, means.mean() + joint), atol=1e-12)


def test_intervals_hold_what_they_should():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        shared = rng.normal(size=(2, 24, 1)) + np.array([1.0, 0.0])[:, None, None]
        left, right = shared + rng.normal(size=(2, 24, 30))
        _, common = calibrated(difference(), left, right, None, draws=2, seed=0)
        low, high = common["intervals"]["difference"]
        hits += low <= 1 <= high
    assert hits >= 180  # 95 % of 200, less four standard errors


def test_a_single_example_has_no_interval_over_examples():
    left, right = np.random.default_rng(3).normal(size=(2, 8, 1))
    _, common = calibrated(difference(), left, right, None, draws=2, seed=0)
    assert common["over_examples"] is None
    assert common["intervals"]["difference"] == common["over_models"]


def test_a_rate_without_spread_still_has_a_width():
    assert interval_around(1.0, 0.0, 9, 20, (0, 1)) == Interval(0.025 ** (1 / 20), 1.0)
    assert interval_around(0.0, 0.0, 9, 20, (0, 1)) == Interval(0.0, 1 - 0.025 ** (1 / 20))
    assert stats.binomtest(20, 20).proportion_ci(method="exact").low == pytest.approx(0.025 ** (1 / 20))


def test_halves_and_permutations_have_the_variance_they_should():
    rng = np.random.default_rng(4)
    left, right = rng.normal(size=(20, 1)) + 10, rng.normal(size=(16, 1))
    halves = null_of(difference("halves"), left, right, draws=2000, seed=0)
    assert halves.models == (8, 8)
    assert halves.draws.std() == pytest.approx(2 * right.std(ddof=1) / 4, rel=0.08)
    swapped = null_of(difference("permutation"), left, right, draws=2000, seed=0)
    assert swapped.models == (20, 16)
    both = np.concatenate([left, right])
    assert swapped.draws.std() == pytest.approx(both.std(ddof=1) * (1 / 20 + 1 / 16) ** 0.5, rel=0.08)
    assert abs(swapped.mean) < 4 * swapped.draws.std() / 2000**0.5


def test_a_null_says_where_its_draws_lie():
    null = Null(np.arange(101.0), (5, 5), 50.0)
    assert null.mean == 50
    assert null.interval == Interval(2.5, 97.5)
    assert null.upper == pytest.approx(np.quantile(np.abs(np.arange(-50, 51)), 0.95))


def test_the_same_seed_draws_the_same_null():
    left, right = np.random.default_rng(5).normal(size=(2, 8, 3))
    draws = [null_of(difference(), left, right, draws=5, seed=seed).draws for seed in (0, 0, 1)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_the_number_of_models_of_a_mean_is_found():
    # The difference of two means of n unit normals is under 1.96·√(2/n) in 95 %; a tenth of 2.2 is reached at n = 159.
    oracle = np.random.default_rng(6).normal(size=(400, 1))
    oracle = (oracle - oracle.mean()) / oracle.std()
    outcome = needed(difference(), np.full((4, 1), 2.2), oracle, draws=400, seed=0)
    assert [*outcome.null] == [4, 15, 54, 200]
    assert outcome.value == pytest.approx(2.2)
    assert not outcome.extrapolated
    assert outcome.models == pytest.approx(159, rel=0.15)
    shorter = needed(difference(), np.full((4, 1), 2.2), oracle[:100], draws=400, seed=0)
    assert shorter.extrapolated
    assert shorter.models == pytest.approx(159, rel=0.3)


def test_the_line_through_the_logarithms_is_exact_for_a_power():
    null = {n: 3 / n for n in (4, 8, 16)}
    assert needed_from(10, null).models == 4
    assert needed_from(3, null).models == 10  # 3/n = 0.3
    outcome = needed_from(0.3, null)
    assert outcome.extrapolated
    assert outcome.models in (100, 101)
    assert needed_from(1, {4: 0.5, 8: 0.5}).models is None
    assert needed_from(0, null).models is None
    assert needed_from(1, {4: 0.5}).models is None
    assert sizes_up_to(4) == [4]
    assert sizes_up_to(2) == [2]


def test_areas_and_rates_are_those_of_scikit_learn():
    rng = np.random.default_rng(7)
    for values in (rng.normal(size=(2, 30, 20)), rng.integers(0, 4, (2, 30, 20)).astype(float)):
        labels, flat = np.repeat([1, 0], 600), values.reshape(-1)
        assert auc_of(*values) == pytest.approx(roc_auc_score(labels, flat), abs=1e-12)
        false, true, _ = roc_curve(labels, flat, drop_intermediate=False)
        assert tpr_of(*values, 0.01) == true[false <= 0.01 + 1e-9].max()
        assert np.isnan(tpr_of(*values, 0.001))


def test_blocks_cover_all_examples_once():
    assert [range(10)[block] for block in blocks(10, 5, elements=20)] == [range(4), range(4, 8), range(8, 10)]
    assert len(blocks(3, 10**9)) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(5), r"x: signals of shape \(models, examples\) are needed, not \(5,\)"),
        (np.zeros((5, 0)), "x: signals of shape"),
        (np.zeros((3, 2)), "x: 3 models are too few; at least 4"),
        (np.full((4, 2), np.nan), "x: 4 of 4 models have signals that are not finite"),
    ],
)
def test_what_is_no_signal_is_refused(given, message):
    with pytest.raises(RecipeError, match=message):
        signals_of("x", given)


def test_sides_must_be_of_the_same_examples():
    with pytest.raises(RecipeError, match="not 2 of a, 3 of b"):
        sides_of(a=np.zeros((4, 2)), b=np.zeros((5, 3)))
    with pytest.raises(RecipeError, match="draws: 1"):
        calibrated(difference(), np.zeros((4, 2)), np.zeros((4, 2)), None, draws=1, seed=0)
