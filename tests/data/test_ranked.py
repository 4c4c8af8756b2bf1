"""Thirds of the training set by numbers that shadow models give, against sorting by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data.digits import Digits
from ungrok.data.ranked import ByEntanglement, ByMemorization


@pytest.fixture(scope="module")
def data():
    numbers = torch.rand(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    numbers[::10] = torch.nan
    ranked = {"memorization": numbers, "entanglement": -numbers}
    return replace(Digits(train_size=100, validation_size=50).load(), ranked=ranked)


def third(data, name):
    """Return the low, middle and high third of the examples whose number is known."""
    numbers = data.ranked[name].tolist()
    known = sorted((i for i in range(100) if numbers[i] == numbers[i]), key=lambda i: numbers[i])
    return {"low": known[:30], "middle": known[30:60], "high": known[60:]}


@pytest.mark.parametrize("rule", [ByMemorization, ByEntanglement])
@pytest.mark.parametrize("which", ["low", "middle", "high"])
def test_a_third_is_that_of_its_order(data, rule, which):
    expected = sorted(third(data, rule(third=which).kind)[which])
    assert rule(third=which).split(data, 0).forget.tolist() == expected


def test_some_of_it_are_drawn(data):
    high = third(data, "memorization")["high"]
    rule = ByMemorization(size=10)
    forget = [rule.split(data, seed).forget.tolist() for seed in (0, 0, 1)]
    assert forget[0] == forget[1] != forget[2]
    assert all(len(set(part)) == 10 and set(part) < set(high) for part in forget)
    assert (rule.label, rule.drawn, ByMemorization(third="low").label, ByMemorization().drawn) == (
        "memorization-high-10", True, "memorization-low", False,
    )  # fmt: skip
    with pytest.raises(RecipeError, match=r"forget.size: 31 asked of 30 examples of high memorization"):
        ByMemorization(size=31).split(data, 0)


def test_without_shadow_models_there_is_nothing_to_read():
    with pytest.raises(NotApplicable, match="'entanglement' is read from shadow models"):
        ByEntanglement().split(Digits(train_size=100, validation_size=50).load(), 0)
