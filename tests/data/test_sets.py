"""Sets as users have them: tensors, data sets, loaders."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ungrok.core.errors import RecipeError
from ungrok.data.sets import given_data, read_set

X, Y = torch.arange(24.0).view(8, 3), torch.arange(8) % 3
MODEL = nn.Linear(3, 4)


@pytest.mark.parametrize(
    "given",
    [
        (X, Y),
        [X, Y],
        (X, Y.int().view(8, 1)),
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), 3),
        [(X[:5], Y[:5]), (X[5:], Y[5:])],
        [(x, y) for x, y in zip(X.split(1), Y.split(1), strict=True)],
    ],
    ids=["tensors", "list of two", "int32 columns", "data set", "loader", "batches", "batches of one"],
)
def test_every_form_holds_the_same_examples(given):
    split, index = read_set("forget", given)
    assert torch.equal(split.inputs, X)
    assert torch.equal(split.targets, Y)
    assert index is None


def test_a_loader_that_shuffles_is_read_in_one_order_and_draws_nothing_of_the_callers():
    loader = DataLoader(TensorDataset(X, Y), 3, shuffle=True)
    before = torch.get_rng_state()
    first, second = (read_set("forget", loader)[0].targets for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "is a NoneType; allowed: "),
        (X, "is a Tensor; allowed"),
        ((X, Y.float()), "targets torch.float32"),
        ((X, Y[:3]), "for 8 inputs"),
        ([({"input_ids": X}, Y)], "inputs by name"),
        ([], "holds no examples"),
    ],
)
def test_what_is_no_set_is_refused_by_its_name(given, words):
    with pytest.raises(RecipeError, match=rf"^retain: .*{words}"):
        read_set("retain", given)


def sets(forget, retain, **more):
    return {"forget": forget, "retain": retain, "test": (X, Y), **more}


def test_forget_examples_stand_first():
    data = given_data(sets((X[5:], Y[5:]), (X[:5], Y[:5]), validation=(X[:4], Y[:4])), MODEL)
    assert torch.equal(data.train.inputs, torch.cat([X[5:], X[:5]]))
    assert data.asked.tolist() == [0, 1, 2]
    assert (data.classes, len(data.validation), len(data.test)) == (4, 4, 8)


def test_identities_give_the_order():
    chosen, others = torch.tensor([6, 1]), torch.tensor([0, 2, 3, 4, 5, 7])
    data = given_data(sets((X[chosen], Y[chosen], chosen), (X[others], Y[others], others)), MODEL)
    assert torch.equal(data.train.inputs, X)
    assert data.asked.tolist() == [1, 6]


def test_without_validation_the_test_set_is_halved():
    data = given_data(sets((X[:2], Y[:2]), (X[2:], Y[2:])), MODEL)
    rows = [*data.validation.inputs[:, 0].tolist(), *data.test.inputs[:, 0].tolist()]
    assert (len(data.validation), sorted(rows)) == (4, X[:, 0].tolist())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test": (X, Y + 3)}, "test: holds the target 4; allowed: 0 to 3"),
        ({"test": (X[:, :2], Y)}, r"test: inputs have shape \(2,\), those of forget \(3,\)"),
        ({"test": (X[:1], Y[:1])}, "test: holds one example"),
        ({"retain": (X, Y, torch.arange(8))}, "example 2 is there twice"),
        ({"retain": (X.clone(), Y)}, "forget and retain share 1 examples by content"),
        ({"forget": (X[:, :2], Y)}, "model: does not take the inputs of forget"),
    ],
)
def test_what_does_not_go_together_is_refused(change, words):
    good = sets((X[2:3], Y[2:3], torch.tensor([2])), (X[3:], Y[3:], torch.arange(3, 8)))
    with pytest.raises(RecipeError, match=words):
        given_data(good | change, MODEL)
