"""Influence: what removal does to the gradient, and the inverse."""

import copy

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.methods.influence import Influence, inverse_product, removal


def test_removal_is_the_gradient_of_all_minus_that_of_the_rest():
    """The mean over all is (Σ_f + Σ_r)/N and over the rest Σ_r/n_r."""
    draw = torch.Generator().manual_seed(0)
    forget, retain = torch.randn(3, 5, generator=draw).double(), torch.randn(7, 5, generator=draw).double()
    vector = removal(forget.sum(0), 3, retain.sum(0), 7)
    torch.testing.assert_close(vector, torch.cat([forget, retain]).mean(0) - retain.mean(0))


@pytest.mark.parametrize("m", [1, 4, 9])
def test_the_inverse_product_is_that_of_the_dense_matrix(m):
    draw = torch.Generator().manual_seed(1)
    gradients, v = torch.randn(m, 6, generator=draw).double(), torch.randn(6, generator=draw).double()
    matrix = 0.3 * torch.eye(6, dtype=torch.float64) + gradients.T @ gradients / m
    torch.testing.assert_close(inverse_product(gradients, v, 0.3), torch.linalg.solve(matrix, v))


def test_settings_out_of_range():
    with pytest.raises(RecipeError):
        Influence(damping=0)


@pytest.mark.parametrize("kept", [1, 2])
def test_the_step_by_the_dense_matrix(linear, close, kept):
    """α·(λ·I + GᵀG/m)⁻¹·v, with the mean gradients of the first m retain batches as rows of G."""
    w, (x, y) = linear.weight, linear.forget[0]
    forget, retain = [(x[:3], y[:3]), (x[3:], y[3:])], linear.retain
    summed = [sum(len(b[1]) * linear.gradient(w, b).flatten() for b in part) for part in (forget, retain)]
    vector = summed[0] / 12 - 4 / (12 * 8) * summed[1]
    rows = torch.stack([linear.gradient(w, batch).flatten() for batch in retain[:kept]])
    matrix = 0.3 * torch.eye(6, dtype=torch.float64) + rows.T @ rows / kept
    path = Influence(alpha=(2.0, 0.5), damping=0.3, batches=kept).path(linear.model(), forget, retain, linear.objective)
    places = [(step.dose, step.model.weight.detach().clone()) for step in path]
    assert [dose for dose, _ in places] == [0.5, 2.0]
    for alpha, weight in places:
        close(weight, w + alpha * torch.linalg.solve(matrix, vector).reshape(3, 2))


def test_the_memory_layout_of_a_model_does_not_matter():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(8, 3)
    ).double()
    draw = torch.Generator().manual_seed(1)
    forget, retain = (
        [(torch.randn(n, 3, 4, 4, generator=draw).double(), torch.randint(3, (n,), generator=draw))] for n in (3, 9)
    )
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        start = copy.deepcopy(model).to(memory_format=layout)
        *_, last = Influence().path(start, forget, retain, Classification())
        assert last.model[0].weight.is_contiguous(memory_format=layout)
        ends.append(last.model.state_dict())
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value)
        assert not torch.equal(value, model.state_dict()[name])
