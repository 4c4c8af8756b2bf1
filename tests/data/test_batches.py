"""The order of batches is a function of (seed, epoch)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ungrok.data.base import Split
from ungrok.data.batches import OrderedBatches, TensorBatches


def numbered(n):
    return Split(torch.arange(n).float(), torch.arange(n))


def order(batches):
    return [targets.tolist() for _, targets in batches]


@given(st.integers(1, 40), st.none() | st.integers(1, 50), st.none() | st.integers(0, 3), st.integers(0, 5))
def test_an_epoch_covers_every_example_once(n, size, seed, epoch):
    batches = TensorBatches(numbered(n), size, seed)
    found = order(batches.epoch(epoch))
    assert len(found) == len(batches)
    flat = [example for part in found for example in part]
    assert sorted(flat) == list(range(n))
    assert {len(part) for part in found[:-1]} <= {batches.batch_size}
    assert 0 < len(found[-1]) <= batches.batch_size
    if seed is None:
        assert flat == list(range(n))


def test_inputs_belong_to_their_targets():
    for inputs, targets in TensorBatches(numbered(10), 3, 0):
        assert torch.equal(inputs, targets.float())


def test_order_depends_on_seed_and_epoch_and_nothing_else():
    one, same, other = (TensorBatches(numbered(30), 8, seed) for seed in (1, 1, 2))
    epochs = [order(one.epoch(number)) for number in range(3)]
    list(same), torch.rand(7)
    assert order(same.epoch(2)) == epochs[2]
    assert len({str(epoch) for epoch in epochs}) == 3
    assert order(other.epoch(0)) != epochs[0]


def test_iterating_goes_through_the_epochs():
    batches = TensorBatches(numbered(30), 8, 1)
    assert [order(batches) for _ in range(3)] == [order(batches.epoch(number)) for number in range(3)]


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("first", [0, 1, 3, 4])
def test_an_epoch_can_be_entered_anywhere(seed, first):
    batches = TensorBatches(numbered(30), 8, seed)
    assert order(batches.epoch(5, first)) == order(batches.epoch(5))[first:]


def test_the_callers_random_state_stays():
    before = torch.get_rng_state()
    list(TensorBatches(numbered(9), 2, 0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize("seed", [None, 4])
def test_an_empty_split_has_no_batches(size, seed):
    batches = TensorBatches(numbered(0), size, seed)
    assert len(batches) == 0
    assert list(batches) == []


def test_a_given_order_is_taken_batch_by_batch_in_epochs_of_as_many_as_the_split_fills():
    given_order = torch.tensor([[4, 4], [0, 1], [2, 3], [4, 0], [1, 1], [3, 2], [0, 2]])
    batches = OrderedBatches(numbered(5), 2, lambda: given_order)
    assert (len(batches), batches.batch_size, batches.examples(2)) == (3, 2, 2)
    assert [order(batches.epoch(number)) for number in range(3)] == [
        [[4, 4], [0, 1], [2, 3]],
        [[4, 0], [1, 1], [3, 2]],
        [[0, 2]],
    ]
    assert order(batches.epoch(1, 2)) == [[3, 2]]


def test_a_batch_of_an_epoch_holds_what_is_counted():
    batches = TensorBatches(numbered(10), 4, 0)
    assert (
        [batches.examples(place) for place in range(3)] == [len(part) for part in order(batches.epoch(0))] == [4, 4, 2]
    )
