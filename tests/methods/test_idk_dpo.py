"""Preference of a refusal by hand."""

import math

import pytest

from ungrok.methods.idk_dpo import IdkDPO


def test_the_refusal_is_what_is_preferred(lm):
    """Δ is 0 for the refusal and −log 2 for the true answer: σ(log 2) = 2/3."""
    batch = lm.batch(1, alternate=lm.batch(2), refusal=lm.batch(3))
    (value,) = IdkDPO(beta=1).forget_values(lm.material(), batch).tolist()
    assert value == pytest.approx(-2 * math.log(2 / 3))
