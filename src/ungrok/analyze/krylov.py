"""The spectrum of a symmetric matrix that is known only by its products with vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ungrok.core.seeds import generator

Matmul = Callable[[Tensor], Tensor]
"""Maps V of shape (p, k) to A·V; A symmetric, p×p. Vectors are float64 on the CPU."""


@dataclass(frozen=True)
class Ritz:
    """Approximate eigenpairs from one Krylov space.

    Args:
        values: float64, shape (m,), increasing.
        vectors: float64, shape (p, m).
        residuals: float64, shape (m,): ``‖A·y − θ·y‖``; an eigenvalue lies within this distance of each value.
        weights: float64, shape (m,): squared first components; with ``values`` the Gauss quadrature of the start's
            spectral measure.

    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    weights: Tensor


def lanczos(matmul: Matmul, start: Tensor, steps: int) -> Ritz:
    """Return the Ritz pairs of A in the Krylov space of ``start``.

    Every vector is orthogonalized twice against all before it, so that no eigenvalue appears twice; stops early where
    the space is invariant. Source: Golub & Van Loan, Matrix Computations, 4th edition, section 10.3.
    Cost: ``steps`` products, ``steps²``·p multiplications, and ``steps``·p numbers.

    Args:
        matmul: Multiplies with A.
        start: float64, shape (p,), not zero.
        steps: m at most.

    """
    basis = [start / start.norm()]
    alphas: list[float] = []
    betas: list[float] = []
    for _ in range(min(steps, len(start))):
        w = matmul(basis[-1].unsqueeze(1)).squeeze(1)
        alphas.append(float(w @ basis[-1]))
        scale = float(w.norm())
        known = torch.stack(basis, dim=1)
        for _ in range(2):
            w = w - known @ (known.T @ w)
        betas.append(float(w.norm()))
        if betas[-1] <= 1e-12 * max(scale, 1e-300):
            betas[-1] = 0.0
            break
        basis.append(w / betas[-1])
    count = len(alphas)
    off = torch.tensor(betas[: count - 1], dtype=torch.float64)
    small = torch.tensor(alphas, dtype=torch.float64).diag() + off.diag(1) + off.diag(-1)
    values, inner = torch.linalg.eigh(small)
    vectors = torch.stack(basis[:count], dim=1) @ inner
    return Ritz(values, vectors, abs(betas[-1]) * inner[-1].abs(), inner[0].square())


def random_start(size: int, seed: int, *names: str | int) -> Tensor:
    """Return a standard normal vector, float64, shape (size,)."""
    return torch.randn(size, generator=generator(seed, *names), dtype=torch.float64)


class Trace(NamedTuple):
    """An estimated trace.

    Args:
        value: The estimate.
        error: Its standard error, from the spread of the random signs that estimate the part outside the range: about 95 % of estimates lie within two of them
            where there are many; nan where there is one.

    """

    value: float
    error: float


def hutch_plus_plus(matmul: Matmul, size: int, products: int, seed: int) -> Trace:
    """Return an unbiased estimate of tr A, with its standard error.

    A third of the products finds the range Q of a random sketch, a third takes the trace on Q exactly, a third estimates the
    trace outside Q with random signs. Exact where rank A ≤ products/3; relative error O(1/products) for positive semi-definite A.
    Given Q, only the last third is random, and its terms are independent.
    Source: Meyer et al. 2021 (arXiv 2010.09649), algorithm 1.

    Args:
        matmul: Multiplies with A.
        size: p.
        products: Vectors multiplied with A, at least 3.
        seed: Seed of the signs.

    """
    draw = generator(seed, "hutch++")
    third = min(max(1, products // 3), size)
    signs = torch.randint(0, 2, (size, 2 * third), generator=draw).double() * 2 - 1
    q = torch.linalg.qr(matmul(signs[:, :third])).Q
    outside = signs[:, third:]
    outside = outside - q @ (q.T @ outside)
    both = matmul(torch.cat([q, outside], dim=1))
    exact = (q * both[:, : q.shape[1]]).sum()
    rest = outside * both[:, q.shape[1] :]
    error = rest.sum(dim=0).std().item() / third**0.5 if third > 1 else math.nan
    return Trace(float(exact + rest.sum() / third), error)


def spectral_density(matmul: Matmul, size: int, steps: int, probes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of a quadrature of the spectral density of A, by stochastic Lanczos quadrature.

    For every f, ``Σ w·f(θ)`` estimates ``tr f(A) / p``; per probe it is exact for polynomials up to degree
    2·steps − 1 of that probe's own measure. Source: Ghorbani et al. 2019 (arXiv 1901.10159).

    Args:
        matmul: Multiplies with A.
        size: p.
        steps: Lanczos steps per probe.
        probes: Random starts.
        seed: Seed of the starts.

    Returns:
        float64, both of shape (at most probes·steps,): values in increasing order, weights that add up to 1.

    """
    runs = [lanczos(matmul, random_start(size, seed, "density", k), steps) for k in range(probes)]
    values, weights = torch.cat([r.values for r in runs]), torch.cat([r.weights for r in runs]) / probes
    order = values.argsort()
    return values[order], weights[order]
