"""The accountant: the exact Gaussian profile, known noise, and fine-tuning that adds noise at every update."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from ungrok import audits
from ungrok.core.accountant import gaussian_delta, noisy_fine_tuning, output_perturbation, output_perturbation_sigma
from ungrok.core.errors import RecipeError


def profile(epsilon, r):
    """Return δ by integrating what one normal exceeds e^ε times the other by."""
    density = lambda x: max(0.0, stats.norm.pdf(x, r) - math.exp(epsilon) * stats.norm.pdf(x))  # noqa: E731
    return integrate.quad(density, epsilon / r + r / 2, epsilon / r + r / 2 + 12, epsabs=1e-13)[0]


def test_the_profile_has_its_known_values():
    assert gaussian_delta(0, 1) == pytest.approx(0.38292, abs=5e-6)
    assert gaussian_delta(1, 1) == pytest.approx(0.12694, abs=5e-6)


@pytest.mark.parametrize(("epsilon", "r"), [(0.0, 0.5), (1.0, 1.0), (3.0, 2.0), (10.0, 3.0)])
def test_the_profile_is_the_integral(epsilon, r):
    assert gaussian_delta(epsilon, r) == pytest.approx(profile(epsilon, r), abs=1e-10)


def test_extremes_of_the_profile():
    assert gaussian_delta(1, 0) == 0
    assert gaussian_delta(1, math.inf) == 1
    assert gaussian_delta(5000, 1) == 0
    with pytest.raises(RecipeError, match="epsilon: -1"):
        gaussian_delta(-1, 1)


def test_the_noise_of_the_source_is_known():
    assert audits.output_perturbation_sigma(1, 1, 1e-5) == pytest.approx(9.6896, abs=5e-5)
    assert output_perturbation_sigma(3, 0.5, 1e-5) == pytest.approx(6 * 9.6896, rel=1e-5)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
def test_the_exact_noise_spends_all_of_delta(epsilon):
    sigma = output_perturbation_sigma(1, epsilon, 1e-5, rule="exact")
    assert output_perturbation(1, sigma).delta(epsilon) == pytest.approx(1e-5, rel=1e-6)
    assert output_perturbation(1, sigma).epsilon(1e-5) == pytest.approx(epsilon, rel=1e-6)


def test_the_source_never_certifies_more_than_is_true():
    # Its formula is too small at ε = 10; what is returned is not.
    too_small = 2 * math.sqrt(2 * math.log(1.25e5)) / 10
    assert output_perturbation(1, too_small).delta(10) > 1e-5
    for epsilon in (0.1, 1.0, 10.0):
        sigma = output_perturbation_sigma(1, epsilon, 1e-5)
        assert output_perturbation(1, sigma).delta(epsilon) <= 1e-5 * (1 + 1e-9)


def test_fine_tuning_without_noise_keeps_the_certificate():
    first = output_perturbation(1, 4).distance
    assert first == 0.5
    assert noisy_fine_tuning(1, first_sigma=4, gradient_clip=1, lr=0.1, updates=50).distance == first


def test_without_noise_nothing_is_certified():
    assert output_perturbation(1, 0).distance == math.inf
    assert output_perturbation(1, 0).delta(3) == 1


def test_noisy_updates_have_the_closed_form():
    clip, gradient_clip, lr, sigma, decay = 2.0, 3.0, 0.01, 0.4, 5.0
    for updates in (1, 10, 40):
        rho, k = 1 - lr * decay, np.arange(updates)
        apart = rho**updates * 2 * clip + 2 * lr * gradient_clip * (rho**k).sum()
        expected = apart / (sigma * np.sqrt((rho ** (2 * k)).sum()))
        settings = {"gradient_clip": gradient_clip, "lr": lr, "sigma": sigma, "updates": updates, "weight_decay": decay}
        assert noisy_fine_tuning(clip, **settings).distance == pytest.approx(expected, rel=1e-12)


def test_the_exact_profile_spends_less_than_the_renyi_bound_of_the_source():
    certificate = noisy_fine_tuning(1, gradient_clip=1, lr=0.01, sigma=0.5, updates=100)
    renyi, order = certificate.distance**2 / 2, np.linspace(1.001, 1000, 100_000)
    bound = order * renyi - (np.log(1e-5) + np.log(order)) / (order - 1) + np.log((order - 1) / order)
    assert 0.5 * bound.min() < certificate.epsilon(1e-5) < bound.min()


def test_two_runs_on_the_line_are_no_further_apart_than_certified():
    # Gradients that always push outwards reach the bound exactly.
    rng = np.random.default_rng(0)
    settings = {"gradient_clip": 1.0, "lr": 0.1, "sigma": 1.0, "updates": 8, "weight_decay": 0.5}
    certificate = noisy_fine_tuning(1, **settings)
    ends = []
    for sign in (1.0, -1.0):
        weight = np.full(40_000, sign)
        for _ in range(8):
            weight = 0.95 * weight + 0.1 * sign + rng.normal(size=weight.size)
        ends.append(weight)
    apart = (ends[0].mean() - ends[1].mean()) / ends[1].std()
    assert apart == pytest.approx(certificate.distance, abs=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: output_perturbation_sigma(0, 1, 1e-5), "clip: 0 must be positive"),
        (lambda: output_perturbation_sigma(1, 0, 1e-5), "epsilon: 0 must be positive"),
        (lambda: output_perturbation_sigma(1, 1, 1), "delta: 1 must lie between 0 and 1"),
        (lambda: output_perturbation_sigma(1, 1, 0.1, rule="best"), "rule: 'best' is none of source, exact"),
        (lambda: output_perturbation(1, -1), "first_sigma: -1 must be finite"),
        (lambda: noisy_fine_tuning(1, lr=2, weight_decay=1), "weight_decay: 1 times lr: 2 must not exceed 1"),
        (lambda: output_perturbation(1, 1).epsilon(0), "delta: 0 must lie"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(RecipeError, match=message):
        call()
