"""The errors and the power of verdicts, as benchmarks/verdicts.py measures them, on fewer and smaller tables."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks" / "verdicts.py"
SMALL = 0.001 * (-1.0) ** np.arange(36)
"""Differences that do not matter."""

TABLES = 150
ALLOWED = 0.05 + 2 * math.sqrt(0.05 * 0.95 / TABLES)


@pytest.fixture(scope="module")
def bench(script):
    return script


@pytest.mark.parametrize("name", ["normal", "t with 2 df", "lognormal", "ties"])
def test_a_null_table_is_given_a_direction_no_more_often_than_allowed(bench, name):
    assert bench.error(bench.NOISES[name], 8, TABLES, rows=20) <= ALLOWED


@pytest.mark.parametrize("name", ["normal", "ties"])
def test_rows_that_come_last_do_not_make_it_more(bench, name):
    assert bench.error(bench.NOISES[name], 8, TABLES, rows=20, last=5) <= ALLOWED


def test_rows_that_come_last_cost_little(bench):
    assert bench.power(100, last=10) >= 0.9
    assert bench.power(100, last=-10) >= 0.8


def test_looking_again_as_seeds_are_added_errs_no_more_often(bench):
    assert bench.looks(bench.NOISES["t with 2 df"], TABLES, rows=20) <= ALLOWED


def test_shares_of_alpha_are_four_fifths_and_then_half_of_what_is_left(bench):
    assert [share for _, share in bench.LATER] == pytest.approx([4 / 5, 1 / 10, 1 / 20])


def test_null_tables_are_what_they_are_said_to_be(bench):
    draw = np.random.default_rng(0)
    sides = bench.null_sides(draw, bench.NOISES["normal"], 10, 60, 0.6)
    assert sides.shape == (2, 60, 10)
    missing = np.isnan(sides)
    assert (missing[0] == missing[1]).all()
    assert missing.any(axis=(0, 2)).sum() == 12
    cut = np.array([np.mean(row == np.nanmax(row)) for row in sides.transpose(1, 0, 2)])
    assert (cut > 0.4).any()
    assert cut.max() <= 0.65
    # The differences of rows go together, since seeds bring some of them.
    uncut = bench.null_sides(draw, bench.NOISES["normal"], 2000, 10, 0.0)
    d = np.nan_to_num(uncut[0] - uncut[1])
    assert np.corrcoef(d[1], d[2])[0, 1] == pytest.approx(0.49 / 1.49, abs=0.08)


def test_a_ratio_of_two_is_found_among_many_rows(bench):
    assert bench.power(100) >= 0.9
    assert bench.power(100, censored=0.2) >= 0.8


def test_no_difference_is_not_said_where_censoring_hides_one(bench):
    assert bench.hidden_by_censoring(1.25, 0.9, 8, 100) <= 0.05
    assert bench.hidden_by_censoring(2.0, 0.99, 10, 100) <= 0.05
    # It is the cut that forbids it: within the budget a difference of nothing may be said.
    assert bench.said_alike(SMALL[:8], 0.1)
    assert not bench.said_alike(SMALL[:8], 0.1, budget=3.0)


def test_no_difference_of_accuracies_is_not_said_where_it_is_rare(bench):
    assert bench.hidden_by_rarity(10, 100) <= 0.05
    assert not bench.said_alike(SMALL[:35], 0.01, accuracy=True)
    assert bench.said_alike(SMALL, 0.01, accuracy=True)
