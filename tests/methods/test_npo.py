"""Negative preference optimization by hand."""

import math

import pytest

from ungrok.methods.gradient_difference import GradientDifference
from ungrok.methods.npo import NPO


def test_a_preference_without_a_winner(lm):
    """Δ = −log 2, so the margin is log 2 and σ(log 2) = 2/3."""
    (value,) = NPO(beta=1).forget_values(lm.material(), lm.batch(1)).tolist()
    assert value == pytest.approx(-2 * math.log(2 / 3))


def test_towards_beta_zero_its_gradient_is_that_of_ascent(lm):
    gradients = []
    for method in (NPO(beta=1e-6), GradientDifference()):
        material = lm.material()
        method.forget_values(material, lm.batch(1)).sum().backward()
        gradients.append(material.model.table.grad)
    assert gradients[1].abs().max() > 0.1
    assert (gradients[0] - gradients[1]).abs().max() < 1e-5
