"""The joint test and its intervals against an obvious slow version, and the errors that they promise."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ungrok.study.inference import OTHERS_FIRST, Differences, Spreads, family, flips

eighths = st.integers(-24, 24).map(lambda k: k / 8)
tables = st.integers(3, 6).flatmap(
    lambda n: st.lists(st.lists(eighths, min_size=n, max_size=n), min_size=1, max_size=4)
)


def slow_statistic(d):
    squares = sum(x * x for x in d)
    return 0.0 if squares == 0 else abs(sum(d)) / squares**0.5


def slow_p(table, place, theta):
    """Adjusted p-value of one row whose effect is supposed to be theta, all sign vectors one by one."""
    shifted = [[d - (theta if i == place else 0) for d in row] for i, row in enumerate(table)]
    observed, reached = slow_statistic(shifted[place]), []
    for signs in itertools.product((1, -1), repeat=len(table[0])):
        largest = max(slow_statistic([s * d for s, d in zip(signs, row, strict=True)]) for row in shifted)
        reached.append(largest >= observed - 1e-9)
    return np.mean(reached)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(tables, st.sampled_from([0.05, 0.1, 0.25, 0.5]))
def test_p_values_and_intervals_are_those_of_all_sign_vectors(table, alpha):
    for place, row in enumerate(family([Differences(d) for d in table], len(table[0]), alpha)):
        assert row.p_value == pytest.approx(slow_p(table, place, 0.0))
        assert row.effect == pytest.approx(np.mean(table[place]))
        for end, side in ((row.low, -1), (row.high, 1)):
            if np.isfinite(end):
                step = 1e-3 * (1 + abs(end))
                assert slow_p(table, place, end + side * step) <= alpha
                inside = end - side * min(step, abs(end - row.effect))
                assert inside == row.effect or slow_p(table, place, inside) > alpha
            else:
                assert slow_p(table, place, row.effect + side * 1e6) > alpha


@settings(deadline=None, derandomize=True, max_examples=80)
@given(tables, st.sampled_from([0.1, 0.25, 0.5]))
def test_a_row_is_significant_exactly_where_its_interval_leaves_out_zero(table, alpha):
    n = len(table[0])
    rows = [Differences(d) for d in table]
    sides = [(np.arange(n) + np.array(d), np.arange(n)[::-1] * 2.0) for d in table]
    rows += [Spreads(x, y) for x, y in sides if np.ptp(x) > 0]
    for row in family(rows, n, alpha):
        assert (row.p_value <= alpha) == (not row.low <= 0 <= row.high)


def test_a_single_row_is_fishers_randomization_test():
    # All of one sign: the smallest p-value, two of all sign vectors.
    row = family([Differences([1.0, 2, 3, 4, 5, 6])], 6)[0]
    assert row.p_value == pytest.approx(2 / 2**6)
    assert (row.low, row.high) == pytest.approx((1.0, 6.0))  # beyond the smallest difference a second sign vector ties


def test_rows_may_lack_seeds_and_cannot_dominate_by_it():
    few = [5.0, 5.0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan]
    all_of_them = [1.0, 1.2, 0.9, 1.1, 1.3, 0.8, 1.0, 1.0]
    lone = family([Differences(all_of_them)], 8)[0]
    joint = family([Differences(few), Differences(all_of_them)], 8)
    assert joint[1].p_value == lone.p_value == pytest.approx(2 / 2**8)
    assert joint[0].n == 2
    assert joint[0].p_value >= 0.5


def test_rows_without_any_difference_have_no_effect_and_no_width():
    row = family([Differences([0.0] * 6)], 6)[0]
    assert (row.effect, row.low, row.high, row.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_medians_are_computed_anew_under_every_flip():
    x, y = np.array([0.0, 1, 5, 9]), np.array([2.0, 2.5, 3, 2])
    row = Spreads(x, y)
    for signs, value in zip(flips(4), row.statistics(flips(4)), strict=True):
        a, b = np.where(signs < 0, y, x), np.where(signs < 0, x, y)
        u, v = (a - np.median(a)) ** 2, (b - np.median(b)) ** 2
        assert value == pytest.approx(slow_statistic(list(u - v)))


@pytest.mark.parametrize("censored", [0.0, 0.4])
def test_a_family_without_effects_names_any_row_as_rarely_as_promised(censored):
    draw, words, tables_drawn = np.random.default_rng(3), 0, 400
    for _ in range(tables_drawn):
        common = draw.standard_t(3, 8)
        d = 0.7 * common + draw.standard_t(3, (20, 8))
        d[draw.random(d.shape) < censored] = 0.0  # ties: neither side got there
        words += any(row.p_value <= 0.05 for row in family([Differences(row) for row in d], 8))
    assert words / tables_drawn <= 0.05 + 2 * (0.05 * 0.95 / tables_drawn) ** 0.5


def test_an_effect_is_named_among_many_rows_without_one():
    draw, named = np.random.default_rng(4), 0
    for _ in range(100):
        rows = [draw.normal(0, 0.3, 10) for _ in range(59)] + [draw.normal(np.log(2), 0.3, 10)]
        named += family([Differences(d) for d in rows], 10)[-1].low > 0
    assert named >= 90


def slow_in_two_steps(table, last, alpha, share):
    """Return which rows are named: the others at a share of alpha, the last ones at the share of flips that this leaves."""
    every = np.array(list(itertools.product((1, -1), repeat=len(table[0]))))
    statistics = np.array([[slow_statistic(list(signs * np.array(row))) for signs in every] for row in table])
    first, rest = statistics[~last].max(axis=0), statistics[last].max(axis=0)
    pairs = len(every) // 2
    spent = math.floor(share * alpha * pairs + 1e-9) / pairs
    return [
        np.mean(rest >= own[0] - 1e-9) + spent <= alpha + 1e-12
        if is_last
        else np.mean(first >= own[0] - 1e-9) <= share * alpha + 1e-12
        for own, is_last in zip(statistics, last, strict=True)
    ]


@settings(deadline=None, derandomize=True, max_examples=80)
@given(tables, st.sampled_from([0.1, 0.25, 0.5]), st.integers(0, 15))
def test_rows_that_come_last_have_what_the_others_leave(table, alpha, chosen):
    last = np.array([(chosen >> place) % 2 == 1 for place in range(len(table))])
    rows = family([Differences(d) for d in table], len(table[0]), alpha, last)
    if last.any() and not last.all():
        expected = slow_in_two_steps(table, last, alpha, OTHERS_FIRST)
    else:
        expected = [slow_p(table, place, 0.0) <= alpha for place in range(len(table))]
    assert [row.p_value <= alpha + 1e-12 for row in rows] == expected
    assert [not row.low <= 0 <= row.high for row in rows] == expected


def test_rows_that_come_last_change_nothing_in_the_others():
    draw = np.random.default_rng(0)
    others = [Differences(d) for d in draw.normal(0.5, 1.0, (4, 8))]
    weak, strong = (Differences(draw.normal(effect, 1.0, 8)) for effect in (0.0, 9.0))
    one, other = (family([*others, row], 8, 0.1, [False] * 4 + [True])[:4] for row in (weak, strong))
    assert one == other
    together = family([*others, strong], 8, 0.1)[:4]
    assert [row.low for row in together] != [row.low for row in one]


def named_falsely(rows, last, true, alpha):
    """Return the share of swaps of the rows without effects, the observed one among them, in which one of these is named."""
    seeds, named = len(rows[0]), 0
    for signs in flips(seeds):
        swapped = [d if effect else signs * d for d, effect in zip(rows, true, strict=True)]
        estimates = family([Differences(d) for d in swapped], seeds, alpha, last)
        named += any(row.p_value <= alpha + 1e-12 for row, effect in zip(estimates, true, strict=True) if not effect)
    return named / len(flips(seeds))


def test_in_two_steps_a_family_errs_as_rarely():
    """Under every flip of one table, as if it had been the observed one."""
    table, last = np.random.default_rng(3).normal(size=(6, 8)), [False] * 4 + [True] * 2
    assert 0.07 < named_falsely(table, last, [False] * 6, 0.1) <= 0.1


def test_in_two_steps_a_row_with_an_effect_lends_nothing_to_those_without():
    """One of the others has an effect, so that its flips are spent wherever; the rest err under flips of their own."""
    effect, other, later = np.full(6, 1.0), np.array([3.0, 3, 3, 3, 2, 2]), np.array([3.0, -3, 3, -3, 2, 2])
    assert named_falsely([effect, other, later], [False, False, True], [True, False, False], 0.05) <= 0.05


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(6, 8))
def test_in_two_steps_no_set_of_rows_without_effects_errs_more_often(seed, seeds):
    draw = np.random.default_rng(seed)
    rows = [draw.normal(1, 0.05, seeds), *draw.normal(size=(4, seeds))]
    assert named_falsely(rows, [False] * 3 + [True] * 2, [True] + [False] * 4, 0.05) <= 0.05
