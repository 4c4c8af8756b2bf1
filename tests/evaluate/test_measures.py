"""Gaps, efficiency, first passages and rewinding by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ungrok.evaluate.gap import oracle_gap, ues
from ungrok.evaluate.rewind import rewind
from ungrok.evaluate.targets import first_passage, target_column


def point(ua, ra, ta):
    return {"UA": ua, "RA": ra, "TA": ta, "other": None}


def test_gap_is_the_mean_of_three_absolute_differences():
    assert oracle_gap(point(0.5, 0.9, 0.8), point(0.2, 1.0, 0.9)) == pytest.approx((0.3 + 0.1 + 0.1) / 3)
    assert oracle_gap(point(0.1, 1.0, 0.9), point(0.2, 0.9, 0.8)) == pytest.approx(0.1)
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


@pytest.mark.parametrize(
    ("ua", "level", "place"),
    [
        ([1.0, 0.6, 0.3, 0.5, 0.1], 0.5, 2),
        ([1.0, 0.6, 0.5, 0.3], 0.5, 2),
        ([0.4, 0.6], 0.5, 0),
        ([1.0, 0.9], 0.5, "never"),
        ([1.0, None, 0.4], 0.5, 2),
        ([1.0, 0.6, None], 0.5, "never"),
        ([None], 0.5, "never"),
        ([1.0, 0.0], None, None),
        ([1.0, 0.0], 0.0, 1),
        ([1.0, 1 / 3], 0.3333333333333333 - 1e-16, 1),
        ([1.0, 0.51], 0.5, "never"),
    ],
)
def test_first_passage(ua, level, place):
    assert first_passage(ua, level) == place


@pytest.mark.parametrize(
    ("target", "column"), [(0.1, "reached_0.1"), (0.5, "reached_0.5"), (1.0, "reached_1"), ("oracle", "reached_oracle")]
)
def test_columns(target, column):
    assert target_column(target) == column


@pytest.mark.parametrize(
    ("ua", "reference", "place"),
    [
        # The reference is that of the last place, 0.7: not of each place.
        ([1.0, 0.9, 0.72, 0.4, 0.1], [0.9, 0.9, 0.9, 0.8, 0.7], 2),
        ([1.0, 0.6, 0.8], [0.9, 0.9, 0.7], 1),  # 0.6 and 0.8 are as near: the earlier
        ([1.0, 0.2, None], [0.9, 0.3, None], 1),
        ([1.0, 0.2, 0.5], [0.9, 0.3, None], 1),
        ([1.0, 0.2], [None, None], None),
        ([None], [0.5], None),
        ([], [], None),
    ],
)
def test_rewind(ua, reference, place):
    assert rewind(ua, reference) == place


values = st.none() | st.integers(0, 16).map(lambda k: k / 16)


@given(st.lists(st.tuples(values, values), max_size=8))
def test_no_finite_place_is_nearer_than_the_one_rewound_to(pairs):
    ua, reference = [a for a, _ in pairs], [b for _, b in pairs]
    finite = [i for i, pair in enumerate(pairs) if None not in pair]
    place = rewind(ua, reference)
    assert (place is None) == (not finite)
    if finite:
        goal = reference[finite[-1]]
        assert place == next(i for i in finite if abs(ua[i] - goal) == min(abs(ua[j] - goal) for j in finite))


def test_lists_of_unequal_length():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        rewind([1.0], [])
