"""Alternate preference optimization by hand."""

import math

import pytest

from ungrok.methods.alt_po import AltPO


def test_the_alternate_is_what_is_preferred(lm):
    """Δ is log 2 for the alternate and −log 2 for the true answer: σ(2·log 2) = 4/5."""
    batch = lm.batch(1, alternate=lm.batch(2), refusal=lm.batch(3))
    (value,) = AltPO(beta=1).forget_values(lm.material(), batch).tolist()
    assert value == pytest.approx(-2 * math.log(4 / 5))
