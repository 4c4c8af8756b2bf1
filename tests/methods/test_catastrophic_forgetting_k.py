"""Catastrophic forgetting-k by hand."""

import pytest
import torch
from torch import nn

from ungrok.core.errors import NotApplicable
from ungrok.methods.catastrophic_forgetting_k import CatastrophicForgettingK


def test_the_last_block_descends_the_retain_loss_on_the_features_before_it(linear, close):
    """A frozen identity before the linear model: its steps are those of fine-tuning."""
    identity = nn.Linear(2, 2, bias=False).double()
    identity.weight.data = torch.eye(2, dtype=torch.float64)
    model = nn.Sequential(identity, linear.model())
    w = linear.weight
    method = CatastrophicForgettingK(lr=0.3, epochs=1)
    batches = iter(linear.retain)
    for step in method.path(model, linear.forget, linear.retain, linear.objective):
        w = w - 0.3 * linear.gradient(w, next(batches))
        close(step.model[1].weight.detach(), w)
        assert torch.equal(step.model[0].weight, identity.weight)
    assert next(batches, None) is None


def test_a_frozen_last_block_leaves_nothing_to_train(linear):
    model = nn.Sequential(nn.Linear(2, 2).double(), linear.model().requires_grad_(requires_grad=False))
    with pytest.raises(
        NotApplicable, match=r"^catastrophic_forgetting_k: every parameter that it would move is frozen$"
    ):
        CatastrophicForgettingK().path(model, linear.forget, linear.retain, linear.objective)
