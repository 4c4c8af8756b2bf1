"""Gradient difference by hand."""

import math

import pytest

from ungrok.methods.gradient_difference import GradientDifference


def test_each_token_counts_minus_its_loss(lm):
    values = GradientDifference().forget_values(lm.material(), lm.batch(1, 1)).tolist()
    assert values == pytest.approx([-math.log(4), -math.log(16)])


def test_a_retained_token_counts_its_loss(lm):
    assert GradientDifference().retain_values(lm.material(), lm.batch(2)).tolist() == pytest.approx([math.log(2)])
