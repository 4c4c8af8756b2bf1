"""Weight attenuation by hand."""

import pytest

from ungrok.core.errors import RecipeError
from ungrok.methods.weight_attenuation import WeightAttenuation


@pytest.mark.parametrize("share", [0.25, 0.9])
def test_a_share_of_every_weight_is_taken_away(linear, close, share):
    walk = linear.walk(WeightAttenuation(optimizer="sgd", lr=1e-100, share=share, updates=1))
    close(walk.weights[0], (1 - share) * linear.weight)


@pytest.mark.parametrize("share", [-0.1, 1])
def test_shares_out_of_range(share):
    with pytest.raises(RecipeError, match="weight_attenuation: share"):
        WeightAttenuation(share=share)
