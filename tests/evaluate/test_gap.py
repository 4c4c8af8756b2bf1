"""The gap to the oracle and the efficiency score by hand."""

import pytest

from ungrok.evaluate.gap import oracle_gap, ues


def point(ua, ra, ta):
    return {"UA": ua, "RA": ra, "TA": ta, "other": None}


def test_gap_is_the_mean_of_three_absolute_differences():
    assert oracle_gap(point(0.5, 0.9, 0.8), point(0.2, 1.0, 0.9)) == pytest.approx((0.3 + 0.1 + 0.1) / 3)
    assert oracle_gap(point(0.1, 1.0, 0.9), point(0.2, 0.9, 0.8)) == pytest.approx(0.1)


def test_gap_has_the_same_bytes_under_every_python():
    assert oracle_gap(point(0.1, 0.2, 0.3), point(0.0, 0.0, 0.0)) == 0.6000000000000001 / 3
    assert oracle_gap(point(0.5, 0.9, 0.8), point(0.5, 0.9, 0.8)) == 0


@pytest.mark.parametrize("missing", range(3))
def test_no_gap_and_no_efficiency_where_a_value_is_missing(missing):
    whole, part = point(0.5, 0.9, 0.8), point(*(None if i == missing else 0.5 for i in range(3)))
    for function in (oracle_gap, ues):
        assert function(part, whole) is None
        assert function(whole, part) is None


def test_ues_by_hand():
    """Forgot 0.8 at a price of 0.1 on test and 0.2 on retain data."""
    assert ues(point(1.0, 1.0, 0.9), point(0.2, 0.8, 0.8)) == pytest.approx(0.8 / (0.1 * 0.2))
    # One of two small differences changes sign, and the score with it.
    assert ues(point(1.0, 1.0, 0.9), point(0.2, 0.8, 1.0)) == pytest.approx(-0.8 / (0.1 * 0.2))


@pytest.mark.parametrize("after", [point(0.2, 1.0, 0.5), point(0.2, 0.5, 0.75), point(1.0, 1.0, 0.75)])
def test_ues_without_any_damage_is_undefined(after):
    assert ues(point(1.0, 1.0, 0.75), after) is None
