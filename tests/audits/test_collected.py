"""Batches that can be taken apart by example."""

import pytest
import torch

from ungrok.audits.collected import Collected
from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification


def test_tuples():
    x, y = torch.arange(10.0).view(5, 2), torch.arange(5)
    part = Collected([(x[:3], y[:3]), (x[3:], y[3:])], Classification())
    assert len(part) == 5
    inputs, targets = part.batch(torch.tensor([4, 0]))
    assert torch.equal(inputs, x[[4, 0]])
    assert targets.tolist() == [4, 0]


def test_inputs_by_name():
    batch = ({"a": torch.arange(3), "b": torch.arange(6).view(3, 2)}, torch.arange(3))
    part = Collected([batch, batch], Classification())
    inputs, targets = part.batch(torch.tensor([5]))
    assert inputs["a"].tolist() == [2]
    assert inputs["b"].tolist() == [[4, 5]]
    assert targets.tolist() == [2]


def test_texts_of_different_length():
    def text(*ids):
        row = torch.tensor([ids])
        return {"input_ids": row, "attention_mask": torch.ones_like(row), "labels": row}

    part = Collected([text(1, 2), text(3, 4, 5)], CausalLM())
    batch = part.batch(torch.tensor([0]))
    assert batch["input_ids"].tolist() == [[1, 2, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0]]
    assert batch["labels"].tolist() == [[1, 2, -100]]


def test_none():
    with pytest.raises(RecipeError, match="holds no batches"):
        Collected([], Classification())
