"""A model of the user's program."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.models.given import GivenModel, answers, remember


def test_a_model_is_copied_and_a_function_is_called():
    model = nn.Linear(2, 2)
    copied = remember(model, "").build((), 0, 0)
    assert copied is not model
    assert torch.equal(copied.weight, model.weight)
    fresh = remember(lambda: nn.Linear(2, 3), "")
    one, same, other = (fresh.build((), 0, seed).weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_form_tells_layers_and_shapes_but_not_weights():
    forms = [
        remember(model, "").form
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
            remember(wrong, "")
    with pytest.raises(RecipeError, match=r"model: was given to ungrok.sweep by another process"):
        GivenModel(form="0").build((), 0, 0)


class Scaled(nn.Linear):
    """Layers and shapes of nn.Linear, and another forward pass."""

    def __init__(self, factor, dropped=0.0):
        super().__init__(2, 2)
        self.__dict__.update(factor=factor, dropped=dropped)

    def forward(self, x):
        return super().forward(nn.functional.dropout(x, self.dropped, self.training)) * self.factor


def test_a_forward_pass_that_computes_something_else_is_another_form():
    batch, weights = (torch.ones(3, 2), torch.tensor([0, 1, 0])), {"weight": torch.eye(2), "bias": torch.zeros(2)}
    forms = []
    for factor, dropped in ((1, 0.0), (1, 0.0), (1.001, 0.0), (1, 0.5), (1, 0.5)):
        model = Scaled(factor, dropped)
        model.load_state_dict(weights)
        before = torch.get_rng_state()
        forms.append(remember(model, answers(model.train(), Classification(), batch)).form)
        assert torch.equal(before, torch.get_rng_state())
        assert model.training
    assert [forms.index(form) for form in forms] == [0, 0, 2, 3, 3]
