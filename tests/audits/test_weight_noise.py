"""Noise relative to the norm of each tensor, one draw along all levels."""

import pytest
import torch
from torch import nn

from ungrok.audits import Setting
from ungrok.audits.weight_noise import WeightNoise, noise

from .conftest import material, network


def test_the_noise_has_the_norm_of_the_tensor():
    weight = 3 * torch.randn(100, 100, generator=torch.Generator().manual_seed(0))
    drawn = noise(weight, 1, "w")
    assert float(drawn.norm() / weight.norm()) == pytest.approx(1, abs=0.02)
    assert abs(float((drawn * weight).mean())) < 0.3
    assert not torch.equal(drawn, noise(weight, 2, "w"))
    assert not torch.equal(drawn, noise(weight, 1, "v"))
    assert torch.equal(noise(torch.zeros(4), 1, "w"), torch.zeros(4))


def weights(test, model, given):
    return [
        {name: value.clone() for name, value in step.model.state_dict().items()}
        for step in test.path(model, given, Setting())
    ]


def test_one_draw_is_scaled_along_the_levels(given):
    start, none, half, one = weights(WeightNoise(levels=(1.0, 0.0, 0.5)), network(), given)
    for name, value in start.items():
        assert torch.equal(none[name], value)
        torch.testing.assert_close(half[name] - value, (one[name] - value) / 2, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(one[name] - value, noise(value, 3, name), atol=1e-6, rtol=1e-4)


def test_another_seed_draws_another_noise():
    (_, one), (_, other) = (weights(WeightNoise(levels=0.1), network(), material(seed=seed)) for seed in (3, 4))
    assert not torch.equal(one["0.weight"], other["0.weight"])


def test_buffers_stay(given):
    model = nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3))
    start, moved = weights(WeightNoise(levels=0.5), model, given)
    assert torch.equal(moved["1.running_var"], start["1.running_var"])
    assert not torch.equal(moved["1.weight"], start["1.weight"])
