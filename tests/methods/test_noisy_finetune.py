"""Noisy fine-tuning: its certificate is the accountant's, and two models that differ as much as they may end as far apart as certified."""

import numpy as np
import pytest
import torch
from torch import nn

from ungrok.core.accountant import largest_distance
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.methods.noisy_finetune import NoisyFinetune


def test_the_certificate_has_its_closed_form():
    clip, gradient_clip, lr, decay, sigma = 2.0, 3.0, 0.01, 5.0, 0.4
    method = NoisyFinetune(clip=clip, gradient_clip=gradient_clip, lr=lr, weight_decay=decay, sigma=sigma)
    for updates in (1, 10, 40):
        rho, k = 1 - lr * decay, np.arange(updates)
        apart = rho**updates * 2 * clip + 2 * lr * gradient_clip * (rho**k).sum()
        expected = apart / (sigma * np.sqrt((rho ** (2 * np.arange(updates + 1))).sum()))
        assert method.promise(updates).distance == pytest.approx(expected, rel=1e-12)


def test_noise_is_no_larger_than_needed():
    promise = NoisyFinetune(epsilon=2, delta=1e-3).promise(50)
    assert promise.distance == pytest.approx(largest_distance(2, 1e-3), rel=1e-9)
    assert promise.epsilon == pytest.approx(2, rel=1e-6)


def test_two_models_end_no_further_apart_than_certified():
    """Far apart on both sides of the start, and drawn by the same data: over 20,000 weights with noise of their own."""
    many, ends = 20_000, {}
    batch = [(torch.ones(2, 1), torch.tensor([0, 1]))]
    for side in (1.0, -1.0):
        model, base = nn.Linear(1, many, bias=False), nn.Linear(1, many, bias=False)
        with torch.no_grad():
            base.weight.zero_()
            model.weight.fill_(side)
        method = NoisyFinetune(clip=3.0, gradient_clip=1.0, lr=0.1, weight_decay=1.0, sigma=0.1, updates=4)
        *_, last = method.path(model, [(-torch.ones(1, 1), torch.tensor([0]))], batch, Classification(), base=base)
        ends[side] = last.model.weight.detach().double().flatten()
    direction = torch.ones(many, dtype=torch.float64) / many**0.5
    apart = float((ends[1.0] - ends[-1.0]) @ direction)
    noise = float(ends[1.0].var()) ** 0.5
    without_gradients = 2 * 3.0 * 0.9**4
    assert apart == pytest.approx(without_gradients, rel=0.05)
    assert apart / noise < method.promise(4).distance


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentum": 0.9}, "momentum"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"lr": 0.1, "weight_decay": 20}, "weight_decay 20.* times lr 0.1: is above 1"),
    ],
)
def test_updates_that_the_theorem_does_not_cover(settings, message):
    with pytest.raises(RecipeError, match=message):
        NoisyFinetune(**settings)
