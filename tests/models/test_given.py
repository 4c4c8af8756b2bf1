"""A model of the user's program."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.models.given import GivenModel, remember


def test_a_model_is_copied_and_a_function_is_called():
    model = nn.Linear(2, 2)
    copied = remember(model).build((), 0, 0)
    assert copied is not model
    assert torch.equal(copied.weight, model.weight)
    fresh = remember(lambda: nn.Linear(2, 3))
    one, same, other = (fresh.build((), 0, seed).weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_form_tells_layers_and_shapes_but_not_weights():
    forms = [
        remember(model).form
        for model in (
            nn.Linear(2, 2),
            nn.Linear(2, 2),
            nn.Linear(2, 3),
            nn.Sequential(nn.Dropout(0.1)),
            nn.Sequential(nn.Dropout(0.2)),
        )
    ]
    assert forms[0] == forms[1]
    assert len(set(forms)) == 4


def test_what_is_no_model_and_what_another_process_was_given():
    for wrong in (3, lambda: 3):
        with pytest.raises(RecipeError, match=r"model: is a int; allowed: a torch.nn.Module"):
            remember(wrong)
    with pytest.raises(RecipeError, match=r"model: was given to ungrok.sweep by another process"):
        GivenModel(form="0").build((), 0, 0)
