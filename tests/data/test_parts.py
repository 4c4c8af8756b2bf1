"""Parts are disjoint and complete."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ungrok.core.errors import RecipeError
from ungrok.data.base import Split
from ungrok.data.parts import cut


def numbered(n):
    return Split(torch.arange(n), torch.arange(n) % 3)


@given(st.integers(3, 60), st.data())
def test_cut_is_disjoint_and_complete(n, data):
    first = data.draw(st.integers(1, n - 2))
    second = data.draw(st.integers(1, n - 1 - first))
    seed = data.draw(st.integers(0, 5))
    parts = cut(numbered(n), {"a": first, "b": second, "c": None}, seed)
    assert [len(part) for part in parts] == [first, second, n - first - second]
    assert torch.equal(torch.cat([part.inputs for part in parts]).sort().values, torch.arange(n))
    assert all(torch.equal(part.targets, part.inputs % 3) for part in parts)
    again = cut(numbered(n), {"a": first, "b": second, "c": None}, seed)
    assert all(torch.equal(one.inputs, two.inputs) for one, two in zip(parts, again, strict=True))


def test_cut_depends_on_the_seed_and_may_leave_examples_over():
    one, other = (cut(numbered(50), {"a": 20, "b": 10}, seed) for seed in (0, 1))
    assert not torch.equal(one[0].inputs, other[0].inputs)
    assert len(torch.cat([part.inputs for part in one]).unique()) == 30


@pytest.mark.parametrize(
    "sizes",
    [{"a": 8, "b": 3}, {"a": 11, "b": None}, {"a": 10, "b": None}, {"a": 0, "b": None}, {"a": 5, "b": 0, "c": None}],
)
def test_too_many_or_none_is_an_error(sizes):
    with pytest.raises(RecipeError, match=rf"a {sizes['a']}, b .* asked of 10 examples"):
        cut(numbered(10), sizes, 0)
