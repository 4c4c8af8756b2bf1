"""Output perturbation: its known noise, and what a path makes of nothing."""

import pytest
import torch

from ungrok.core.accountant import gaussian_delta
from ungrok.core.objective import Classification
from ungrok.methods.output_perturbation import OutputPerturbation


def test_the_known_noise_however_long_the_fine_tuning():
    for updates in (1, 500):
        promise = OutputPerturbation(clip=1, epsilon=1, delta=1e-5).promise(updates)
        assert promise.sigma == pytest.approx(9.6896, abs=5e-5)
        assert promise.distance == pytest.approx(2 / promise.sigma)
        assert 0.7 < promise.epsilon < 1
        assert gaussian_delta(promise.epsilon, promise.distance) == pytest.approx(1e-5, rel=1e-6)


def test_the_known_values_of_the_profile():
    promise = OutputPerturbation(clip=1, sigma=2).promise(9)
    assert promise.distance == 1
    assert str(promise) == (
        "certifies ε = 4.38 at δ = 1e-05 and δ = 0.127 at ε = 1, by noise of σ = 2 on every weight (r = 1)"
    )


def test_little_noise_on_a_model_within_the_clip_is_fine_tuning(small):
    settings = {"lr": 0.05, "epochs": 3}
    base, batches = small.network(), (small.batches(seed=1), small.batches(seed=2))
    method = OutputPerturbation(clip=100, sigma=1e-12, **settings)
    *_, last = method.path(small.network(), *batches, Classification(), base=base)
    for mine, other in zip(last.model.parameters(), small.last("finetune", **settings).parameters(), strict=True):
        torch.testing.assert_close(mine, other)
