"""Digits: shapes, ranges, truth of the targets, no shared rows."""

import pytest
import torch
from pydantic import ValidationError

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data.base import PROBLEMS
from ungrok.data.digits import Digits

SMALL = [Digits(), Digits(train_size=100, validation_size=50)]


def rows(split):
    return {tuple(row) for row in split.inputs.flatten(1).tolist()}


@pytest.mark.parametrize("problem", SMALL, ids=str)
def test_no_row_is_in_two_splits(problem):
    data = problem.load()
    parts = [rows(part) for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [len(data.train), len(data.validation), len(data.test)]
    assert len(set().union(*parts)) == sum(map(len, parts)) == 1797


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


def test_digits_are_the_images_of_scikit_learn():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    truth = {tuple(image): label for image, label in zip((images / 16).tolist(), labels, strict=True)}
    data = Digits(train_size=100, validation_size=50).load()
    assert data.train.inputs.shape == (100, 1, 8, 8)
    assert len(data.test) == 1797 - 150
    for row, target in zip(data.train.inputs.flatten(1).tolist(), data.train.targets.tolist(), strict=True):
        assert truth[tuple(row)] == target


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Digits(train_size=1500, validation_size=297), "the rest asked of 1797"),
        (Digits(train_size=1500, validation_size=400), "validation_size 400"),
    ],
    ids=str,
)
def test_impossible_problems_are_recipe_errors(problem, message):
    with pytest.raises(RecipeError, match=message):
        problem.load()


def test_settings_out_of_range():
    with pytest.raises(ValidationError, match="label_noise"):
        Digits(label_noise=1.0)
    assert {"digits", "modular", "vision"} <= set(PROBLEMS.names())


def test_the_pool_is_twice_as_large_and_begins_with_the_problems_own_examples():
    problem = Digits(train_size=100, validation_size=50, data_seed=3)
    pool, own = problem.pool()
    assert (pool, own) == (Digits(train_size=200, validation_size=50, data_seed=3), 100)
    assert torch.equal(pool.load().train.inputs[:100], problem.load().train.inputs)
    with pytest.raises(NotApplicable, match=r"problem.train_size: 1702 is not allowed"):
        Digits(train_size=851, validation_size=50).pool()
