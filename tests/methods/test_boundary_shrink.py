"""Neighbors across the boundary."""

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.methods.boundary_shrink import BoundaryShrink, neighbor


def test_the_neighbor_is_one_step_along_the_sign():
    x, g = torch.tensor([[0.5, 0.5, 0.5]]), torch.tensor([[3.0, -0.1, 0.0]])
    assert neighbor(x, g, 0.25, None).tolist() == [[0.75, 0.25, 0.5]]


def test_the_neighbor_of_an_image_of_eight_bits():
    """Clamped to the range, and a whole number of 255ths of it."""
    x, g = torch.tensor([[0.0, 0.9, -0.9]]), torch.tensor([[1.0, 1.0, -1.0]])
    moved = neighbor(x, g, 0.1501, (-1.0, 1.0))[0].tolist()
    # (0.1501 + 1)/2·255 = 146.6, so the 147th step.
    assert moved == pytest.approx([147 / 255 * 2 - 1, 1.0, -1.0])


def test_labels_are_the_originals_across_the_boundary(small):
    """A linear model of two classes: a large enough step along the gradient always crosses."""
    torch.manual_seed(0)
    linear = nn.Linear(4, 2)
    inputs = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    forget = [(inputs, linear(inputs).argmax(1))]
    end = small.last("boundary_shrink", linear, forget, epsilon=100.0, lr=1.0, epochs=50, weight_decay=0)
    assert (end(inputs).argmax(1) != forget[0][1]).double().mean() > 0.9


@pytest.mark.parametrize("bounds", [(1, 0), (1, 1)])
def test_bounds_in_the_wrong_order(bounds):
    with pytest.raises(RecipeError, match="the lower bound must lie below the upper"):
        BoundaryShrink(bounds=bounds)
