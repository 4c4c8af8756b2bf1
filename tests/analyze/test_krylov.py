"""Lanczos, Hutch++ and quadrature on matrices whose spectrum is known."""

import math

import pytest
import torch

from ungrok.analyze.krylov import hutch_plus_plus, lanczos, random_start, spectral_density


def symmetric(values, seed=0):
    q = torch.linalg.qr(random_start(len(values) ** 2, seed, "q").view(len(values), -1)).Q
    return q @ torch.as_tensor(values, dtype=torch.float64).diag() @ q.T


def times(matrix):
    return lambda v: matrix @ v


def test_full_krylov_space_gives_the_whole_spectrum():
    values = torch.tensor([-3.0, -0.5, 0.1, 1.0, 2.5, 10.0], dtype=torch.float64)
    ritz = lanczos(times(symmetric(values)), random_start(6, 1), 6)
    torch.testing.assert_close(ritz.values, values, rtol=1e-10, atol=1e-10)
    assert ritz.residuals.max() < 1e-10


def test_clusters_give_no_ghosts():
    """Without reorthogonalization, converged eigenvalues come back as copies."""
    values = torch.cat([torch.full((60,), 1e-6), torch.linspace(0.1, 1, 40), torch.tensor([50.0, 100.0])]).double()
    ritz = lanczos(times(symmetric(values)), random_start(102, 1), 44)
    assert (ritz.values > 1.5).sum() == 2
    vectors = ritz.vectors
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(vectors.shape[1]).double(), rtol=0, atol=1e-10)
    assert ritz.values[-1] == pytest.approx(100, rel=1e-10)


def test_residuals_bound_the_error():
    values = torch.linspace(-1, 3, 80).double()
    a = symmetric(values)
    ritz = lanczos(times(a), random_start(80, 2), 12)
    for k in range(12):
        own = (a @ ritz.vectors[:, k] - ritz.values[k] * ritz.vectors[:, k]).norm()
        assert ritz.residuals[k] == pytest.approx(own.item(), rel=1e-6, abs=1e-12)
        assert (values - ritz.values[k]).abs().min() <= own + 1e-12


def test_stops_in_an_invariant_space():
    ritz = lanczos(times(symmetric([2.0, 2.0, 2.0, 5.0])), random_start(4, 0), 4)
    torch.testing.assert_close(ritz.values, torch.tensor([2.0, 5.0]).double())


def test_hutch_is_exact_for_low_rank():
    a = symmetric([5.0, -2.0, 1.0] + [0.0] * 57)
    assert hutch_plus_plus(times(a), 60, 9, seed=0).value == pytest.approx(4, rel=1e-10)


def test_hutch_is_unbiased_and_better_than_plain_signs():
    a = symmetric([2.0**-k for k in range(40)])
    found = torch.tensor([hutch_plus_plus(times(a), 40, 12, s).value for s in range(300)])
    signs = [torch.sign(random_start(40 * 12, s, "plain")).view(40, 12) for s in range(300)]
    plain = torch.tensor([(z * (a @ z)).sum().item() / 12 for z in signs])
    assert abs(found.mean() - a.trace()) < 3 * found.std() / 300**0.5
    assert found.std() < plain.std() / 3


def test_quadrature_is_exact_for_polynomials_of_its_start():
    """2m − 1 = 9: Σ w·θ^k = vᵀA^k·v / vᵀv."""
    a, start = symmetric(torch.linspace(-1, 2, 30)), random_start(30, 3)
    ritz = lanczos(times(a), start, 5)
    v = start / start.norm()
    for power in range(10):
        expected = (v @ torch.linalg.matrix_power(a, power) @ v).item()
        assert (ritz.weights @ ritz.values**power).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def smoothed(values, weights, grid, width):
    """Return the density on a grid, each node a Gaussian of standard deviation ``width``, per unit of eigenvalue."""
    z = (grid.unsqueeze(1) - values) / width
    return ((-z.square() / 2).exp() * weights).sum(dim=1) / (width * (2 * torch.pi) ** 0.5)


def test_density_of_two_levels():
    """Nine tenths of the spectrum at 0 and a tenth at 4."""
    a = symmetric([0.0] * 450 + [4.0] * 50)
    values, weights = spectral_density(times(a), 500, 10, probes=20, seed=0)
    assert weights.sum() == pytest.approx(1)
    assert weights[values > 2].sum() == pytest.approx(0.1, abs=0.015)
    grid = torch.linspace(-3, 7, 2001).double()
    density = smoothed(values, weights, grid, 0.2)
    assert torch.trapezoid(density, grid) == pytest.approx(1, abs=1e-6)
    assert grid[density.argmax()] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e9])
def test_the_spectrum_of_a_multiple_is_the_multiple_of_the_spectrum(scale):
    """An invariant space is told from rounding relative to the matrix, whatever its size."""
    values = torch.tensor([-3.0, 0.0, 0.0, 0.0, 2.0, 10.0], dtype=torch.float64)
    ritz = lanczos(times(scale * symmetric(values)), random_start(6, 1), 6)
    assert len(ritz.values) == 4
    torch.testing.assert_close(ritz.values / scale, torch.tensor([-3.0, 0, 2, 10]).double(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("products", [3, 5, 6, 12, 1000])
def test_hutch_multiplies_no_more_vectors_than_it_says(products):
    a, columns = symmetric([4.0, -3.0, 2.0, 1.0, 0.5, -0.5]), []

    def counting(v):
        columns.append(v.shape[1])
        return a @ v

    estimate = hutch_plus_plus(counting, 6, products, seed=0).value
    assert sum(columns) == 3 * min(products // 3, 6)
    if products == 1000:
        assert estimate == pytest.approx(4, rel=1e-9)


def test_hutch_is_unbiased_whatever_the_signs_of_the_eigenvalues():
    a = symmetric([4.0, -3.0, 2.0, 1.0, 0.5, -2.5])
    estimates = torch.tensor([hutch_plus_plus(times(a), 6, 3, seed).value for seed in range(1500)])
    assert abs(estimates.mean() - a.trace()) < 3.5 * estimates.std() / 1500**0.5
    assert estimates.std() > 0.5


@pytest.mark.parametrize("products", [30, 6])
def test_the_error_of_hutch_is_the_spread_of_its_estimates(products):
    """Over 400 seeds, the mean of the squared standard errors is the mean squared error."""
    a = symmetric([4.0, -3.0, *torch.linspace(-1, 1.5, 58)])
    estimates = [hutch_plus_plus(times(a), 60, products, seed) for seed in range(400)]
    error = torch.tensor([estimate.value for estimate in estimates]) - a.trace()
    said = torch.tensor([estimate.error for estimate in estimates])
    assert said.square().mean() == pytest.approx(error.square().mean().item(), rel=0.25)


def test_one_probe_knows_no_error_and_an_exact_trace_has_none():
    a = symmetric([5.0, -2.0, 1.0] + [0.0] * 57)
    assert hutch_plus_plus(times(a), 60, 9, seed=0).error == pytest.approx(0, abs=1e-9)
    assert math.isnan(hutch_plus_plus(times(a), 60, 5, seed=0).error)
