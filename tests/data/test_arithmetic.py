"""Modular arithmetic: shapes, ranges, truth of the targets, no shared rows."""

import pytest
import torch

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data.arithmetic import Modular

SMALL = [Modular(modulus=7), Modular(modulus=11, operation="multiplication", train_fraction=0.3)]


def rows(split):
    return {tuple(row) for row in split.inputs.flatten(1).tolist()}


@pytest.mark.parametrize("problem", SMALL, ids=str)
def test_no_row_is_in_two_splits(problem):
    data = problem.load()
    parts = [rows(part) for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [len(data.train), len(data.validation), len(data.test)]
    assert len(set().union(*parts)) == sum(map(len, parts)) == problem.modulus**2


@pytest.mark.parametrize("problem", SMALL, ids=str)
def test_types_ranges_and_seed(problem):
    data = problem.load()
    for part in (data.train, data.validation, data.test):
        assert part.inputs.dtype == torch.float32
        assert part.targets.dtype == torch.int64
        assert part.inputs.min() == 0
        assert part.inputs.max() == 1
    assert set(data.train.targets.tolist()) <= set(range(data.classes))
    assert torch.equal(problem.load().train.inputs, data.train.inputs)
    other = problem.model_copy(update={"data_seed": 1}).load()
    assert not torch.equal(other.train.inputs, data.train.inputs)


@pytest.mark.parametrize(
    ("operation", "result"), [("addition", lambda a, b: a + b), ("multiplication", lambda a, b: a * b)]
)
def test_modular_targets(operation, result):
    data = Modular(modulus=7, operation=operation, train_fraction=0.6).load()
    assert data.classes == 7
    assert [len(part) for part in (data.train, data.validation, data.test)] == [29, 10, 10]
    for part in (data.train, data.validation, data.test):
        a, b = part.inputs[:, :7].argmax(1), part.inputs[:, 7:].argmax(1)
        assert (part.inputs.sum(1) == 2).all()
        assert torch.equal(part.targets, result(a, b) % 7)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Modular(modulus=9), "modulus: 9 is not a prime"),
        (Modular(modulus=5, train_fraction=0.96), "validation 0"),
        (Modular(modulus=3, train_fraction=0.01), "train_fraction 0"),
    ],
    ids=str,
)
def test_impossible_problems_are_recipe_errors(problem, message):
    with pytest.raises(RecipeError, match=message):
        problem.load()


def test_the_pool_is_twice_as_large_and_begins_with_the_problems_own_pairs():
    problem = Modular(modulus=11, train_fraction=0.3)
    pool, own = problem.pool()
    assert (pool.train_fraction, own) == (0.6, len(problem.load().train))
    assert torch.equal(pool.load().train.inputs[:own], problem.load().train.inputs)
    with pytest.raises(NotApplicable, match=r"problem.train_fraction: 1.0 is not allowed"):
        Modular(train_fraction=0.5).pool()
