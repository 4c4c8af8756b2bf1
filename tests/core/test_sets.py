"""What is known of a user's sets without reading them."""

import pytest
import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.core.sets import Counted, check_apart, check_batches, check_overlap, counted, draws_from_torch, sizes
from ungrok.data.base import Split
from ungrok.data.batches import TensorBatches
from ungrok.evaluate.cost import Metered

OBJECTIVE = Classification()


def batches(count, first=0.0):
    return [(torch.full((2, 1), first + i), torch.zeros(2, dtype=torch.int64)) for i in range(count)]


def test_an_empty_set_is_refused_before_the_first_step():
    with pytest.raises(RecipeError, match=r"^forget: holds no batches$"):
        check_batches("forget", [])
    assert check_batches("forget", batches(1)) is None
    assert check_batches("forget", None) is None
    with pytest.raises(RecipeError, match="an iterator can be used only once"):
        check_batches("forget", iter(batches(1)))


def with_index(*numbers):
    return [(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64), torch.tensor([n])) for n in numbers]


def loader(n, chosen):
    whole = TensorDataset(torch.zeros(n, 1), torch.zeros(n, dtype=torch.int64))
    return lambda part=chosen: DataLoader(Subset(whole, part), 1)


def test_examples_are_shared_within_one_data_set_only():
    """Equal numbers of other data sets, or beside an unknown set, name other examples."""
    one, other = loader(5, [0, 1]), loader(5, [0, 1])
    for forget, retain in (
        (with_index(0, 1), with_index(2, 3)),
        (with_index(0, 1), one()),
        (with_index(0, 1), batches(2)),
        (batches(2), with_index(0, 1)),
        (one(), other()),
        (one(), one([2, 3])),
        (batches(1), None),
    ):
        assert check_overlap(forget, retain, OBJECTIVE) is None
    for forget, retain in ((with_index(0, 1), with_index(1, 2)), (one(), one([1, 2]))):
        with pytest.raises(RecipeError, match="share 1 examples, for instance index 1"):
            check_overlap(forget, retain, OBJECTIVE)


WHOLE = TensorDataset(torch.zeros(100, 1), torch.zeros(100, dtype=torch.int64))
OTHER = TensorDataset(torch.zeros(50, 1), torch.zeros(50, dtype=torch.int64))
TWENTY = torch.arange(20)


@pytest.mark.parametrize("kind", [torch.Tensor.tolist, torch.Tensor.numpy, list, tuple, torch.clone, torch.Tensor.int])
@pytest.mark.parametrize(
    "retain",
    [
        lambda: Subset(WHOLE, torch.arange(100)),
        lambda: WHOLE,
        lambda: Subset(Subset(WHOLE, range(10, 100)), range(-90, 0)),
        lambda: ConcatDataset([OTHER, Subset(WHOLE, range(15))]),
        lambda: ConcatDataset([OTHER, WHOLE]),
    ],
)
def test_whatever_holds_the_indices_and_however_nested(kind, retain):
    """Of the first twenty examples, all are shared; with the nested subset ten, with the last but one fifteen."""
    retain = retain()
    shared = 15 if isinstance(retain, ConcatDataset) and len(retain) == 65 else 20
    shared = 10 if isinstance(retain, Subset) and isinstance(retain.dataset, Subset) else shared
    forget = Subset(WHOLE, kind(TWENTY))
    with pytest.raises(RecipeError, match=f"forget and retain share {shared} examples.*by the indices of one data set"):
        check_overlap(DataLoader(forget, 5), DataLoader(retain, 5, shuffle=True), OBJECTIVE)
    check_overlap(DataLoader(forget, 5), DataLoader(OTHER, 5), OBJECTIVE)
    check_overlap(DataLoader(forget, 5), DataLoader(Subset(WHOLE, range(20, 100)), 5), OBJECTIVE)


def test_no_two_of_several_sets_share_examples():
    parts = [DataLoader(Subset(WHOLE, range(start, start + 10)), 5) for start in (0, 10, 19)]
    check_apart(dict(zip(("forget", "retain", "test"), (parts[0], parts[1], with_index(0, 1)), strict=True)))
    with pytest.raises(RecipeError, match="retain and test share 1 examples, for instance index 19"):
        check_apart(dict(zip(("forget", "retain", "test"), parts, strict=True)))
    with pytest.raises(RecipeError, match="forget and test are the same object"):
        check_apart({"forget": parts[0], "retain": None, "test": parts[0]})


def test_samplers_say_what_is_read_of_a_data_set():
    forget = DataLoader(WHOLE, 5, sampler=SubsetRandomSampler(range(20)))
    check_overlap(forget, DataLoader(WHOLE, 5, sampler=SubsetRandomSampler(range(20, 100))), OBJECTIVE)
    for retain in (
        DataLoader(WHOLE, 5, sampler=SubsetRandomSampler(range(19, 100))),
        DataLoader(Subset(WHOLE, range(19, 100)), 5, sampler=SubsetRandomSampler([0, 2])),
    ):
        with pytest.raises(RecipeError, match=r"share 1 examples, for instance index 19 \(by"):
            check_overlap(forget, retain, OBJECTIVE)
    # What these draw is not known before they are read.
    check_overlap(forget, DataLoader(WHOLE, 5, sampler=RandomSampler(WHOLE, num_samples=9)), OBJECTIVE)
    check_overlap(forget, DataLoader(WHOLE, batch_sampler=[[50, 51], [52]]), OBJECTIVE)


def test_the_sentence_says_what_was_taken_as_identities():
    with pytest.raises(
        RecipeError, match=r"index 1 \(by the third part of a batch, or its key 'index', taken as identities\)"
    ):
        check_overlap(with_index(0, 1), with_index(1, 2), OBJECTIVE)
    named = [{"input_ids": torch.ones(1, 2), "index": torch.tensor([1])}]
    with pytest.raises(RecipeError, match="share 1 examples"):
        check_overlap(named, named[:], CausalLM())


X, Y = torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((X, Y), r"^retain: is a tuple of tensors, not of batches; allowed: .* for instance \[\(X, y\)\]$"),
        ([X, Y], "^retain: is a list of tensors"),
        (X, "^retain: is a Tensor; allowed: a DataLoader or a list of batches"),
        ({"x": X, "labels": Y}, "^retain: is a dict"),
        ("retain", "^retain: is a str"),
        (7, "^retain: is a int"),
    ],
)
def test_what_is_no_set_of_batches(given, message):
    with pytest.raises(RecipeError, match=message):
        check_batches("retain", given)


class Stream(IterableDataset):
    def __iter__(self):
        yield from batches(3)


def test_a_set_without_a_length_is_counted_once():
    stream = counted(DataLoader(Stream(), batch_size=None))
    state = torch.get_rng_state()
    assert isinstance(stream, Counted)
    assert len(stream) == len(list(stream)) == 3
    assert counted(None) == ()
    listed = batches(2)
    assert counted(listed) is listed
    torch.set_rng_state(state)
    assert len(Counted(DataLoader(Stream(), batch_size=None))) == 3
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (batches(2), [2] * len(batches(2))),
        (DataLoader(WHOLE, 33), [33, 33, 33, 1]),
        (DataLoader(WHOLE, 33, drop_last=True), [33, 33, 33]),
        (DataLoader(WHOLE, 50), [50, 50]),
        (DataLoader(OTHER, 64), [50]),
        (DataLoader(Stream(), batch_size=None), None),
        (DataLoader(WHOLE, batch_sampler=[[50, 51], [52]]), None),
    ],
)
def test_sizes_that_are_known_without_reading(given, expected):
    assert sizes(given, OBJECTIVE.size) == expected


def test_lists_and_sets_that_say_so_draw_from_pytorch_only():
    split = Split(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64))
    own = TensorBatches(split, 2)
    assert all(map(draws_from_torch, ([], (), own, Metered(own, 4))))
    assert not any(map(draws_from_torch, (DataLoader(OTHER), Metered(DataLoader(OTHER), 50))))
