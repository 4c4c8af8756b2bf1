"""The place to rewind to, by hand and by its definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ungrok.evaluate.rewind import rewind


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
