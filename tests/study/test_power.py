"""What a study would find, against the test itself."""

import math
import time

import numpy as np
import pytest

from ungrok.study.inference import Differences, family, flips
from ungrok.study.power import detectable, found_first_and_last, smallest_p


@pytest.mark.parametrize("seeds", [1, 2, 6, 10, 14, 15, 20])
def test_the_smallest_p_value_is_that_of_an_effect_that_every_seed_shows(seeds):
    assert smallest_p(seeds) == 1 / len(flips(seeds))
    assert smallest_p(seeds) == pytest.approx(family([Differences(np.arange(1.0, seeds + 1))], seeds)[0].p_value)


@pytest.mark.parametrize(("rows", "seeds", "sd"), [(1, 6, 0.3), (20, 8, 0.3), (60, 10, 0.5)])
def test_the_ratio_is_found_by_the_test_as_often_as_promised(rows, seeds, sd):
    effect, draw, tables = math.log(detectable(rows, seeds, power=0.8, sd=sd)), np.random.default_rng(7), 400
    found = 0
    for _ in range(tables):
        d = draw.normal(0, sd, (rows, seeds))
        d[0] += effect
        found += family([Differences(row) for row in d], seeds)[0].low > 0
    # Four standard errors, of these tables and of those from which the ratio comes.
    assert found / tables == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / tables + 0.16 / 300))


def test_more_rows_less_alpha_more_spread_and_fewer_seeds_need_a_larger_ratio():
    usual = detectable(60, 10)
    assert 1.5 < usual < 2.0
    assert detectable(20, 10) < usual < detectable(60, 8)
    assert usual < detectable(60, 10, alpha=0.02)
    assert usual < detectable(60, 10, power=0.95)
    # Everything is in proportion to the spread.
    assert math.log(detectable(60, 10, sd=0.6)) == pytest.approx(2 * math.log(usual), rel=1e-3)


@pytest.mark.parametrize("tested", [0, 7])
def test_rows_that_are_tested_last_have_what_the_others_leave_of_alpha(tested):
    """Five rows are tested first and three last; the ratio of either part is found by the test itself as often as promised."""
    last, draw, tables = [False] * 5 + [True] * 3, np.random.default_rng(3), 400
    ratios = found_first_and_last(8, 3, 10)
    assert ratios == (detectable(5, 10, 0.04), detectable(3, 10, 0.01))
    found = 0
    for _ in range(tables):
        d = draw.normal(0, 0.3, (8, 10))
        d[tested] += math.log(ratios[last[tested]])
        found += family([Differences(row) for row in d], 10, last=last)[tested].low > 0
    assert found / tables == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / tables + 0.16 / 300))


def test_where_all_rows_are_tested_at_once_they_have_all_of_alpha():
    assert found_first_and_last(8, 0, 10) == (detectable(8, 10), None)
    assert found_first_and_last(8, 8, 10) == (None, detectable(8, 10))
    assert found_first_and_last(8, 3, 6)[1] == math.inf


def test_with_fewer_than_six_seeds_nothing_can_be_found():
    assert detectable(1, 5) == math.inf
    assert detectable(1, 6) < math.inf
    assert detectable(1, 6, alpha=0.03) == math.inf


def test_it_takes_no_time():
    start = time.process_time()
    detectable(60, 20)
    assert time.process_time() - start < 2
