"""Similarity of two sets of features: linear CKA of paired rows, and overlaps that need no pairing."""

from __future__ import annotations

import torch
from torch import Tensor

from ungrok.core.errors import NotApplicable


def center(x: Tensor) -> Tensor:
    """Return the rows minus their mean, which is taken in float64."""
    return (x.double() - x.double().mean(dim=0)).to(x.dtype)


def gram(x: Tensor) -> Tensor:
    """Return the inner products of all rows, float64, shape (n, n)."""
    return (x @ x.T).double()


def hsic(k: Tensor, l: Tensor, *, unbiased: bool) -> float:  # noqa: E741 (the literature's letters)
    """Return the Hilbert-Schmidt independence criterion of two Gram matrices of n paired rows.

    Biased: ``⟨HKH, HLH⟩ / (n − 1)²`` with H = I − 11ᵀ/n (Gretton et al. 2005). Unbiased, with the diagonals set to zero:
    ``[tr(KL) + 1ᵀK1·1ᵀL1/((n − 1)(n − 2)) − 2/(n − 2)·1ᵀKL1] / (n(n − 3))`` (Song et al. 2012, eq. 5).

    Args:
        k: float64, shape (n, n).
        l: float64, shape (n, n).
        unbiased: Which estimator; the unbiased one needs n ≥ 4.

    """
    n = len(k)
    if not unbiased:
        k, l = (m - m.mean(0) - m.mean(1, keepdim=True) + m.mean() for m in (k, l))  # noqa: E741
        return (k * l).sum().item() / (n - 1) ** 2
    k, l = (m - m.diagonal().diag() for m in (k, l))  # noqa: E741
    a, b = k.sum(0), l.sum(0)
    total = (k * l).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a @ b)
    return total.item() / (n * (n - 3))


def _feature_hsic(x: Tensor, y: Tensor, *, unbiased: bool) -> float:
    """Return :func:`hsic` of the linear kernels of centered features, without any n×n matrix."""
    n = len(x)
    cross = (x.T @ y).double().square().sum()
    if not unbiased:
        return cross.item() / (n - 1) ** 2
    # Rows of a centered kernel sum to zero, so those of one without its diagonal sum to minus the diagonal.
    a, b = -x.double().square().sum(1), -y.double().square().sum(1)
    total = cross - a @ b + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a @ b)
    return total.item() / (n * (n - 3))


def linear_hsic(x: Tensor, y: Tensor, *, unbiased: bool) -> float:
    """Return HSIC with linear kernels of the features of n paired examples.

    Cost: n·d_x·d_y multiplications in feature space or n²·(d_x + d_y) through Gram matrices, whichever is less.

    Args:
        x: float, shape (n, d_x), centered.
        y: float, shape (n, d_y), centered.
        unbiased: Which estimator.

    """
    n, a, b = len(x), x.shape[1], y.shape[1]
    if a * b <= n * (a + b):
        return _feature_hsic(x, y, unbiased=unbiased)
    return hsic(gram(x), gram(y), unbiased=unbiased)


def linear_cka(x: Tensor, y: Tensor, *, unbiased: bool = True) -> float:
    """Return linear centered kernel alignment of *paired* rows: the same n examples in two models or layers.

    ``CKA = HSIC(X, Y) / √(HSIC(X, X)·HSIC(Y, Y))``, in [0, 1]; the unbiased one can fall below 0 and is nan where a
    variance is not positive. Invariant to rotation, shift and scale of either set.

    Source: Kornblith et al. 2019 (arXiv 1905.00414); unbiased: Nguyen et al. 2021 (arXiv 2010.15327).
    Caveat: the biased one rises towards 1 as n falls below the number of dimensions, whatever the features.

    Args:
        x: float, shape (n, d_x).
        y: float, shape (n, d_y).
        unbiased: Which estimator of HSIC.

    Raises:
        NotApplicable: If the rows are not paired, or fewer than 4.

    """
    if len(x) != len(y) or len(x) < 4:
        raise NotApplicable(f"cka: needs the same examples on both sides, at least 4, not {len(x)} and {len(y)}")
    x, y = center(x), center(y)
    xy, xx, yy = (linear_hsic(a, b, unbiased=unbiased) for a, b in ((x, y), (x, x), (y, y)))
    return xy / (xx * yy) ** 0.5 if xx > 0 and yy > 0 else float("nan")


def participation_ratio(x: Tensor, *, unbiased: bool = False) -> float:
    """Return (tr Σ)² / tr Σ² of the covariance of the rows: the number of directions that share the variance.

    Between 1 and min(n − 1, d) in the plain form, which is low where n is not much above the result; the unbiased form
    divides by the unbiased estimate of tr Σ² and may be infinite.

    Args:
        x: float, shape (n, d).
        unbiased: Whether tr Σ² is estimated without bias (n ≥ 4).

    """
    x, n = center(x), len(x)
    trace = (x.double().square().sum() / (n - 1)).item()
    squares = linear_hsic(x, x, unbiased=unbiased)
    return trace**2 / squares if squares > 0 else (float("inf") if trace > 0 else float("nan"))


def unpaired_expectation(ratio_x: float, ratio_y: float, n: int) -> float:
    """Return what biased linear CKA of n independent pairs of rows tends to: ``1/√((1 + n/PR_x)(1 + n/PR_y))``.

    From E‖XᵀY‖² ≈ n·tr Σx·tr Σy and E‖XᵀX‖² ≈ n²·tr Σ² + n·(tr Σ)²: a function of the participation ratios alone, so a
    fall of it between disjoint sets can be a fall of rank.
    """
    return float(((1 + n / ratio_x) * (1 + n / ratio_y)) ** -0.5)


def covariance_overlap(x: Tensor, y: Tensor) -> float:
    """Return the cosine tr(Σx·Σy) / (‖Σx‖·‖Σy‖) of two covariance matrices, in [0, 1]; no pairing is needed.

    Caveat: the norms are those of sample covariances, so that the value falls with the number of rows.

    Args:
        x: float, shape (n_x, d).
        y: float, shape (n_y, d).

    """
    x, y = center(x), center(y)

    def inner(a: Tensor, b: Tensor) -> float:
        if a.shape[1] ** 2 <= len(a) * len(b):
            return ((a.T @ a).double() * (b.T @ b).double()).sum().item()
        return (a @ b.T).double().square().sum().item()

    norm = (inner(x, x) * inner(y, y)) ** 0.5
    return inner(x, y) / norm if norm > 0 else float("nan")


def principal_angles(x: Tensor, y: Tensor, count: int) -> Tensor:
    """Return the angles between the subspaces of the ``count`` leading principal components of two sets of rows.

    Björck & Golub 1973: the singular values of UᵀV are their cosines.

    Args:
        x: float, shape (n_x, d).
        y: float, shape (n_y, d).
        count: Dimensions of both subspaces; at most the smaller rank.

    Returns:
        float64, shape (count,), degrees in [0, 90], increasing.

    """
    bases: list[Tensor] = []
    for rows in (x, y):
        values = center(rows.double())
        right = torch.linalg.svd(values, full_matrices=False).Vh
        bases.append(right[:count].T)
    cosines = torch.linalg.svdvals(bases[0].T @ bases[1])
    angles: Tensor = cosines.clamp(max=1).arccos().rad2deg().cpu()
    return angles
