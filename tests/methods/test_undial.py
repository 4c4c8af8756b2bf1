"""UNDIAL by hand."""

import math

import pytest
import torch

from ungrok.methods.undial import UNDIAL, lowered, soft_cross_entropy


def test_the_true_token_is_lowered_by_beta(lm):
    """(1/8, 1/2, 1/4, 1/8) with the second halved, and normalized."""
    target = lowered(torch.tensor([lm.original[0]]).log(), torch.tensor([1]), math.log(2))
    assert target[0].tolist() == pytest.approx([1 / 6, 1 / 3, 1 / 3, 1 / 6])


def test_soft_cross_entropy_by_hand(lm):
    target = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    value = soft_cross_entropy(torch.tensor([lm.live[0]]).log(), target)
    assert value.tolist() == pytest.approx([(math.log(8) + math.log(4)) / 2])


def test_the_original_is_what_is_lowered(lm):
    """(1/6)·3 + (1/3)·2 + (1/3)·1 + (1/6)·3 = 2 bits."""
    values = UNDIAL(beta=math.log(2)).forget_values(lm.material(), lm.batch(1)).tolist()
    assert values == pytest.approx([2 * math.log(2)])
