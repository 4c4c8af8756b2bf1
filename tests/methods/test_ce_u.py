"""CE-U by hand."""

import math

import pytest
import torch

from ungrok.methods.ce_u import CEU, without_true


def test_the_true_token_is_struck_out(lm):
    target = without_true(torch.tensor([lm.live[0]]).log(), torch.tensor([1]))
    assert target[0].tolist() == pytest.approx([1 / 6, 0, 2 / 3, 1 / 6])


def test_the_target_is_the_live_models_and_a_constant(lm):
    """(1/6)·3 + (2/3)·1 + (1/6)·3 bits; the gradient by the logits is p − target."""
    material = lm.material()
    (value,) = CEU().forget_values(material, lm.batch(1))
    assert value.item() == pytest.approx(5 / 3 * math.log(2))
    value.backward()
    expected = [p - t for p, t in zip(lm.live[0], (1 / 6, 0, 2 / 3, 1 / 6), strict=True)]
    assert material.model.table.grad[0].tolist() == pytest.approx(expected)
