"""SimNPO by hand."""

import math

import pytest

from ungrok.methods.simnpo import SimNPO


def test_the_loss_of_an_answer_is_a_mean_over_its_tokens(lm):
    """(log 4 + log 16)/2 = log 8: σ(log 8) = 8/9; a margin of log 2 leaves log 4, and σ(log 4) = 4/5."""
    for delta, expected in ((0.0, 8 / 9), (math.log(2), 4 / 5)):
        (value,) = SimNPO(beta=1, delta=delta).forget_values(lm.material(), lm.batch(1, 1)).tolist()
        assert value == pytest.approx(-2 * math.log(expected))
