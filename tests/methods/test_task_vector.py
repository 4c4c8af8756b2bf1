"""Task vectors by hand."""

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.methods.task_vector import TaskVector


def test_what_the_base_model_learns_is_subtracted(small):
    """AdamW's first update has the size of its rate and the sign of the gradient; it decays weights beside it."""
    model, base, rate = small.network(), nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), 1e-3
    ((inputs, targets),) = forget = small.batches(seed=1)
    nn.functional.cross_entropy(base(inputs), targets).backward()
    method = TaskVector(alpha=(0.5, 2.0), lr=rate, epochs=1)
    places = [
        {name: p.detach().clone() for name, p in step.model.named_parameters()}
        for step in method.path(model, forget, None, Classification(), base=base)
    ]
    assert len(places) == 2
    for alpha, place in zip((0.5, 2.0), places, strict=True):
        for name, p in base.named_parameters():
            change = -rate * p.grad / (p.grad.abs() + 1e-8) - rate * 0.01 * p.detach()
            expected = model.get_parameter(name).detach() - alpha * change
            torch.testing.assert_close(place[name], expected, rtol=0, atol=1e-6)


def test_a_base_of_another_shape_is_refused(small):
    with pytest.raises(RecipeError, match=r"^base: has other parameters than the model"):
        TaskVector().path(small.network(), small.batches(), None, Classification(), base=nn.Linear(4, 3))
