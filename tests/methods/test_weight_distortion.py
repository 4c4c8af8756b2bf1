"""Weight distortion: the noise is that which is asked for."""

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.methods.weight_distortion import WeightDistortion


def test_the_noise_is_normal_and_scales_with_sigma():
    model = nn.Linear(100, 100).double()
    batch = [(torch.randn(2, 100, dtype=torch.float64), torch.tensor([0, 1]))]
    noise = {}
    for sigma in (0.02, 0.5):
        method = WeightDistortion(optimizer="sgd", lr=1e-100, sigma=sigma, updates=1)
        first = next(method.path(model, batch, [(-x, y) for x, y in batch], Classification())).model
        noise[sigma] = (first.weight - model.weight).detach() / sigma
    torch.testing.assert_close(noise[0.02], noise[0.5])
    z = noise[0.5]
    assert abs(z.mean()) < 0.04  # four standard errors of 10,000 draws
    assert abs(z.var() - 1) < 0.06
    assert abs((z.abs() < 1).double().mean() - 0.6827) < 0.02


def test_noise_out_of_range():
    with pytest.raises(RecipeError, match="weight_distortion: sigma"):
        WeightDistortion(sigma=-0.1)
