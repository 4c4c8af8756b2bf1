"""Batches that can be taken apart by example."""

import pytest
import torch
from torch import nn

from ungrok.audits.collected import Collected, collected
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


def test_sets_are_read_once_and_checked():
    x, y = torch.randn(5, 2), torch.arange(5) % 2
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    sets = {"forget": iter([(x, y), (x[:2], y[:2].int())]), "test": [(x, y[:, None])]}
    kept = collected(Classification(), model, sets)
    assert {name: len(part) for name, part in kept.items()} == {"forget": 7, "test": 5}
    assert kept["test"].batch(torch.tensor([4, 3]))[1].tolist() == [0, 1]
    assert model[1].training
    with pytest.raises(RecipeError, match=r"^retain: holds no batches"):
        collected(Classification(), model, {"retain": iter([])})
    with pytest.raises(RecipeError, match=r"^retain: targets hold 2; allowed: 0 to 1"):
        collected(Classification(), model, {"retain": [(x, y + 1)]})
    with pytest.raises(RecipeError, match=r"^retain: inputs hold NaN"):
        collected(Classification(), model, {"retain": [(x / 0 * 0, y)]})
