"""Weighted gradient ascent by hand."""

import math

import pytest
import torch

from ungrok.methods.wga import WGA, belief


def test_belief_is_a_power_of_the_probability_and_a_constant():
    losses = torch.tensor([math.log(4), math.log(2)], requires_grad=True)
    weights = belief(losses, 2.0)
    assert weights.tolist() == pytest.approx([1 / 16, 1 / 4])
    assert not weights.requires_grad


@pytest.mark.parametrize(("beta", "expected"), [(0.0, -math.log(4)), (2.0, -math.log(4) / 16)])
def test_tokens_weigh_as_much_as_they_are_believed(lm, beta, expected):
    assert WGA(beta=beta).forget_values(lm.material(), lm.batch(1)).tolist() == pytest.approx([expected])
