"""MUNBA: the bargain by hand."""

import math

import pytest
import torch

from ungrok.methods.munba import MUNBA, flat_gradient, nash_weights


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.6, 1.0])
def test_nash_weights_solve_their_equation(rho):
    """G·α = 1/α, and both sides gain the same share: g_i·(Σ α g) = 1/α_i."""
    retain = torch.tensor([2.0, 0.0], dtype=torch.float64)
    forget = 3 * torch.tensor([rho, math.sqrt(1 - rho**2)], dtype=torch.float64)
    a = torch.tensor(nash_weights(retain, forget), dtype=torch.float64)
    both = torch.stack([retain, forget])
    torch.testing.assert_close(both @ both.T @ a, 1 / a)


def test_nash_weights_without_a_bargain():
    """Opposite or vanishing gradients: one tenth of the forget loss beside the retain loss."""
    g = torch.tensor([1.0, 2.0])
    assert nash_weights(g, -g) == nash_weights(0 * g, g) == nash_weights(g, 0 * g) == (1.0, 0.1)


def test_a_gradient_in_one_piece():
    """Of a·b + 0·c by (a, c, b)."""
    a, b, c = (torch.nn.Parameter(torch.tensor([value])) for value in (2.0, 5.0, 7.0))
    assert flat_gradient((a * b).sum(), [a, c, b]).tolist() == [5.0, 0.0, 2.0]


def test_without_a_bargain_small_gradients_are_not_stretched(linear):
    """Forget inputs of 0 give no gradient: the loss is L(r) + L(f)/10, undivided while ‖∇L(r)‖ < 1."""
    zero, ((x, y), *_) = [(torch.zeros(4, 2, dtype=torch.float64), torch.zeros(4, dtype=torch.int64))], linear.retain
    linear.forget, linear.retain = zero, [(0.1 * x, y)]
    assert linear.gradient(linear.weight, linear.retain[0]).norm() < 0.5
    (loss,) = linear.walk(MUNBA(updates=1)).losses
    assert loss == pytest.approx(
        (linear.value(linear.weight, linear.retain[0]) + linear.value(linear.weight, zero[0]) / 10).item()
    )
