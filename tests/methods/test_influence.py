"""Influence: what removal does to the gradient, and the inverse."""

import pytest
import torch
from pydantic import ValidationError

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
    with pytest.raises(ValidationError):
        Influence(damping=0)
