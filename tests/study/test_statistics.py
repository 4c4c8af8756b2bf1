"""Check every test and interval against a published value, a closed form or an obvious slow version."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from ungrok.study.statistics import (
    Estimate,
    Times,
    bounded_differences,
    kaplan_meier,
    log_rank,
    sign_flip,
    spread_ratio,
    wilson,
)

# Cross- minus self-fertilized height in eighths of an inch: Darwin (1876), as in Fisher (1935), section 17.
DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float)

# Weeks in remission: Freireich et al. (1963, Blood 21:699).
DRUG = Times(
    np.array([6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], dtype=float),
    np.arange(21) < 9,
)
PLACEBO = Times(
    np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], dtype=float),
    np.ones(21, dtype=bool),
)

no_deadline = settings(deadline=None)  # the machine may be shared

# Eighths are exact in binary, so that ties are ties in the slow versions too.
eighths = st.integers(-40, 40).map(lambda k: k / 8)
samples = st.lists(eighths, min_size=1, max_size=7).map(np.array)
six_or_seven = st.lists(eighths, min_size=6, max_size=7).map(np.array)


def slow_p(differences, theta=0.0):
    shifted = [d - theta for d in differences]
    sums = [abs(sum(s * d for s, d in zip(signs, shifted, strict=True))) for signs in signs_of(len(shifted))]
    return sum(value >= abs(sum(shifted)) - 1e-9 for value in sums) / len(sums)


def signs_of(n):
    return list(itertools.product((1, -1), repeat=n))


def slow_spread_p(a, b, delta=0.0):
    u = (a - np.median(a)) ** 2
    v = (math.exp(delta) * (b - np.median(b))) ** 2
    swap = np.array(list(itertools.product((False, True), repeat=len(a))))
    with np.errstate(divide="ignore"):
        statistic = np.abs(np.log(np.where(swap, v, u).sum(1) / np.where(swap, u, v).sum(1)))
    return np.mean(statistic >= statistic[0] - 1e-9)


def ends(estimate):
    return estimate.low, estimate.high


# --- sign_flip


def test_sign_flip_gives_fishers_p_for_darwins_data():
    estimate = sign_flip(DARWIN)
    assert estimate.p_value == 1726 / 32768
    assert estimate.effect == pytest.approx(314 / 15)
    assert estimate.n == 15


def test_sign_flip_interval_for_darwins_data_is_where_the_enumerated_p_crosses_alpha():
    signs = np.array(signs_of(15))

    def p(theta):
        return np.mean(np.abs(signs @ (DARWIN - theta)) >= abs((DARWIN - theta).sum()) - 1e-9)

    low, high = ends(sign_flip(DARWIN))
    assert p(low - 1e-6) <= 0.05 < p(low + 1e-6)
    assert p(high + 1e-6) <= 0.05 < p(high - 1e-6)
    assert (low, high) == pytest.approx((-1 / 6, 41))


@no_deadline
@given(samples)
def test_sign_flip_p_is_the_enumerated_share(d):
    assert sign_flip(d).p_value == slow_p(d)


@no_deadline
@given(six_or_seven, st.sampled_from([0.05, 0.1, 0.3]))
def test_sign_flip_interval_is_where_the_enumerated_p_exceeds_alpha(d, alpha):
    low, high = ends(sign_flip(d, alpha))
    for theta in np.linspace(-6.01, 6.02, 60):  # off the eighths and their means
        assert (slow_p(d, theta) > alpha) == (low <= theta <= high)


def test_sign_flip_interval_on_a_dense_grid():
    d, alpha = np.array([0.3, 1.7, -0.4, 2.2, 0.9, 1.1]), 0.1
    grid = np.arange(-1, 3, 0.002)
    kept = grid[[slow_p(d, theta) > alpha for theta in grid]]
    assert ends(sign_flip(d, alpha)) == pytest.approx((kept[0], kept[-1]), abs=0.002)


def test_sign_flip_at_six_seeds_spans_the_differences_and_at_five_is_unbounded():
    d = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert sign_flip(d) == Estimate(3.5, 1.0, 6.0, 2 / 64, 6)
    assert sign_flip(d[:5]) == Estimate(3.0, -math.inf, math.inf, 2 / 32, 5)


def test_sign_flip_counts_the_end_itself_as_inside_when_alpha_is_attainable():
    assert sign_flip([1.0, 2.0, 3.0, 4.0, 5.0], alpha=1 / 16) == Estimate(3.0, 1.0, 5.0, 1 / 16, 5)


def test_sign_flip_of_one_seed_and_of_no_difference():
    assert sign_flip([2.5]) == Estimate(2.5, -math.inf, math.inf, 1.0, 1)
    assert sign_flip(np.zeros(8)) == Estimate(0.0, 0.0, 0.0, 1.0, 8)


def test_sign_flip_counts_ties_lost_to_rounding():
    d = np.array([0.1, 0.2, -0.3, 0.7, 0.5, 0.4, 0.6, 0.8])  # 0.1 + 0.2 - 0.3 is 5.6e-17
    estimate = sign_flip(d)
    assert estimate.p_value == slow_p(np.round(10 * d))
    assert sign_flip([0.1, 0.2, -0.3]).p_value == 1.0


def test_sign_flip_interval_reaches_zero_despite_rounding():
    d = np.array(
        [0.1, 0.2, -0.3, 5.0, 5.0, 5.0, 5.0]
    )  # subsets with mean <= 0: {-.3}, {.1, -.3}, {.2, -.3}, {.1, .2, -.3}

    assert sign_flip(d, alpha=4 * 2 / 128).low == 0.0


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf], [[1.0, 2.0]]])
def test_sign_flip_refuses(bad):
    with pytest.raises(ValueError, match="finite"):
        sign_flip(bad)


def test_sign_flip_above_sixteen_seeds_agrees_with_enumeration():
    d = np.random.default_rng(3).normal(0.4, 1, 18)
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    exact = np.mean(np.abs(sums) >= abs(d.sum()) - 1e-9)
    assert sign_flip(d).p_value == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 2**16))
    assert sign_flip(d) == sign_flip(d)


def test_sign_flip_above_sixteen_seeds_interval_inverts_the_same_draws():
    d = np.random.default_rng(3).normal(0.4, 1, 17)
    low, high = ends(sign_flip(d))
    assert sign_flip(d - (low - 1e-6)).p_value <= 0.05 < sign_flip(d - (low + 1e-6)).p_value
    assert sign_flip(d - (high + 1e-6)).p_value <= 0.05 < sign_flip(d - (high - 1e-6)).p_value


def test_sign_flip_above_sixteen_seeds_never_gives_zero():
    assert sign_flip(np.arange(1.0, 41.0)).p_value == 1 / (1 + 2**16)


@no_deadline
@given(six_or_seven, eighths)
def test_sign_flip_moves_with_a_shift(d, shift):
    before, after = sign_flip(d), sign_flip(d + shift)
    assert (after.effect, *ends(after)) == pytest.approx([x + shift for x in (before.effect, *ends(before))])


@no_deadline
@given(samples)
def test_sign_flip_mirrors(d):
    plus, minus = sign_flip(d), sign_flip(-d)
    assert minus == Estimate(-plus.effect, -plus.high, -plus.low, plus.p_value, plus.n)


@no_deadline
@given(samples, st.sampled_from([1e-9, 0.3, 7.0, 1e9]))
def test_sign_flip_scales(d, scale):
    before, after = sign_flip(d), sign_flip(scale * d)
    assert after.p_value == before.p_value
    expected = [scale * x for x in (before.effect, *ends(before))]
    assert (after.effect, *ends(after)) == pytest.approx(expected, abs=1e-12 * scale)


@no_deadline
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=10))
def test_sign_flip_p_and_interval_agree(d):
    estimate = sign_flip(d)
    assert 2 / 2 ** len(d) <= estimate.p_value <= 1
    assert estimate.low <= estimate.effect + 1e-9 * max(map(abs, d))
    assert estimate.high >= estimate.effect - 1e-9 * max(map(abs, d))
    assert (estimate.p_value > 0.05) == (estimate.low <= 0 <= estimate.high)


def test_sign_flip_covers_the_mean_of_normal_differences():
    rng = np.random.default_rng(0)
    estimates = [sign_flip(rng.normal(1, 2, 10)) for _ in range(1000)]
    assert 0.93 <= np.mean([e.low <= 1 <= e.high for e in estimates]) <= 0.97


# --- wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_table_i_of_newcombe_1998(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_no_trials_and_of_too_many_successes():
    assert wilson(0, 0) == (0.0, 1.0)
    for successes, n in [(1, 0), (3, 2), (-1, 2)]:
        with pytest.raises(ValueError, match="must"):
            wilson(successes, n)


# --- spread_ratio


@no_deadline
@given(st.integers(0, 2**32), st.integers(3, 7))
def test_spread_ratio_is_the_enumerated_swap_test(seed, n):
    a, b = np.random.default_rng(seed).standard_t(3, (2, n))
    estimate = spread_ratio(a, b, alpha=0.1)
    assert estimate.p_value == slow_spread_p(a, b)
    assert estimate.effect == pytest.approx(math.log(stats.tstd(a) / stats.tstd(b)))
    for delta in np.linspace(-4, 4, 31):
        assert (slow_spread_p(a, b, delta) > 0.1) == (estimate.low <= delta <= estimate.high)


def test_spread_ratio_of_equal_sides_and_of_sides_mirrored():
    a, b = np.random.default_rng(1).normal(size=(2, 9)) * [[3.0], [1.0]]
    assert spread_ratio(a, a).effect == 0
    assert spread_ratio(a, a + 0.1).p_value == 1
    one, other = spread_ratio(a, b), spread_ratio(b, a)
    assert (other.effect, *ends(other)) == pytest.approx((-one.effect, -one.high, -one.low))
    moved = spread_ratio(7 * a + 2, 7 * b - 5)
    assert (moved.effect, *ends(moved), moved.p_value) == pytest.approx((one.effect, *ends(one), one.p_value))


def test_spread_ratio_with_values_at_the_median_on_both_sides():
    estimate = spread_ratio([0, 0, 0, 0, 0, 0, 0, 4.0], [0, 0, 0, 0, 0, 0, 0, 1.0])
    assert estimate == Estimate(math.log(4), -math.inf, math.inf, 1.0, 8)


def test_spread_ratio_p_and_interval_agree_on_ties_lost_to_rounding():
    a, b = [1.0, 0.4, 0.5, 0.7, 1.0, 1.0], [0.8, 1.0, 0.8, 0.9, 0.8, 1.0]
    estimate = spread_ratio(a, b)
    assert (estimate.p_value, estimate.low) == (4 / 64, 0.0)
    assert spread_ratio(b, a).high == 0.0


def test_spread_ratio_rejects_about_as_often_as_it_should_on_skewed_data():
    draws = np.random.default_rng(0).beta(8, 1, (1500, 2, 8))
    assert np.mean([spread_ratio(a, b).p_value <= 0.05 for a, b in draws]) < 0.075


def test_spread_ratio_refuses():
    with pytest.raises(ValueError, match="3 seeds"):
        spread_ratio([1.0, 2.0], [1.0, 3.0])
    with pytest.raises(ValueError, match="zero spread"):
        spread_ratio([1.0, 2.0, 3.0], [0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match="every side"):
        spread_ratio([1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])


# --- times to target


def test_kaplan_meier_of_the_leukaemia_trial():
    weeks, remission = kaplan_meier(DRUG)
    assert list(weeks) == [6, 7, 10, 13, 16, 22, 23]
    assert remission == pytest.approx([0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], abs=5e-4)
    assert kaplan_meier(PLACEBO)[1][-1] == 0


def test_log_rank_of_the_leukaemia_trial():
    assert log_rank(DRUG, PLACEBO) == pytest.approx(stats.chi2.sf(16.79, 1), rel=0.01)
    assert log_rank(DRUG, DRUG) == 1


def test_nothing_reached_leaves_no_jump_and_no_log_rank_evidence():
    never = Times(np.full(4, 100.0), np.zeros(4, dtype=bool))
    assert [len(array) for array in kaplan_meier(never)] == [0, 0]
    assert log_rank(never, never) == 1


def test_times_refuses():
    for time, reached in [([1.0], [True, False]), ([math.nan], [True]), ([], []), ([1.0], [1])]:
        with pytest.raises(ValueError, match=r"finite|boolean"):
            Times(np.array(time), np.array(reached))


def all_reached(*time):
    return Times(np.array(time, dtype=float), np.ones(len(time), dtype=bool))


# --- bounded_differences


@no_deadline
@given(samples, st.randoms(use_true_random=False))
def test_bounded_differences_of_known_values_is_sign_flip(a, random):
    b = np.array([random.randint(-40, 40) / 8 for _ in a])
    assert bounded_differences(a, a, b, b) == sign_flip(a - b)


@no_deadline
@given(st.integers(0, 2**32))
def test_bounded_differences_is_the_worst_of_every_corner(seed):
    rng = np.random.default_rng(seed)
    a_low, b_low = rng.normal(1.5, 1, 6), rng.normal(0, 1, 6)
    a_high = a_low + rng.integers(0, 2, 6) * rng.exponential(0.5, 6)
    estimate = bounded_differences(a_low, a_high, b_low, b_low, alpha=0.1)
    corners = [sign_flip(np.where(c, a_low, a_high) - b_low, 0.1) for c in itertools.product((0, 1), repeat=6)]
    assert estimate.low == min(c.low for c in corners)
    assert estimate.high == max(c.high for c in corners)
    means = [c.effect for c in corners]
    assume(min(means) * max(means) > 0)
    assert estimate.p_value == max(c.p_value for c in corners)
    assert estimate.effect == pytest.approx((min(means) + max(means)) / 2)


def test_bounded_differences_takes_both_sides_at_their_worst():
    low, high = np.full(8, 0.5), np.full(8, 1.0)
    assert bounded_differences(low, high, low - 1, high - 1) == Estimate(1.0, 0.5, 1.5, 2 / 256, 8)


def test_bounded_differences_of_undecided_sign_has_p_one():
    zero = np.zeros(8)
    assert bounded_differences(zero - 1, zero + 3, zero, zero) == Estimate(1.0, -1.0, 3.0, 1.0, 8)


def test_bounded_differences_refuses():
    with pytest.raises(ValueError, match="above"):
        bounded_differences([1.0], [0.0], [0.0], [0.0])
    with pytest.raises(ValueError, match="finite"):
        bounded_differences([-math.inf], [0.0], [0.0], [0.0])


def test_shares_and_times_agree_with_scipy_s():
    draw = np.random.default_rng(0)
    for n in (2, 5, 10, 30):
        for successes in range(n + 1):
            for alpha in (0.05, 0.001):
                theirs = stats.binomtest(successes, n).proportion_ci(1 - alpha, "wilson")
                assert wilson(successes, n, alpha) == pytest.approx((theirs.low, theirs.high), abs=1e-14)
        for _ in range(20):  # times are whole, so that there are ties
            a, b = (Times(draw.integers(1, 8, n).astype(float), draw.random(n) < 0.7) for _ in range(2))
            censored = [stats.CensoredData.right_censored(side.time, ~side.reached) for side in (a, b)]
            survival = stats.ecdf(censored[0]).sf
            jumps = np.isin(survival.quantiles, a.time[a.reached])
            at, short = kaplan_meier(a)
            assert np.array_equal(at, survival.quantiles[jumps])
            assert short == pytest.approx(survival.probabilities[jumps], abs=1e-14)
            with np.errstate(invalid="ignore"):
                p_value = stats.logrank(*censored).pvalue
            assert log_rank(a, b) == pytest.approx(1.0 if np.isnan(p_value) else p_value, abs=1e-12)
