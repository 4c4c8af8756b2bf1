"""SatImp by hand."""

import math

import pytest
import torch

from ungrok.methods.sat_imp import SatImp, weights


def test_weights_by_hand_are_constants():
    losses = torch.tensor([math.log(4), math.log(2)], requires_grad=True)
    by_token = weights(losses, 2.0, 1.0)
    assert by_token.tolist() == pytest.approx([1 / 16 * 3 / 4, 1 / 4 * 1 / 2])
    assert not by_token.requires_grad


def test_tokens_count_by_their_weight(lm):
    values = SatImp(beta1=2, beta2=1).forget_values(lm.material(), lm.batch(1)).tolist()
    assert values == pytest.approx([-math.log(4) * 3 / 64])
