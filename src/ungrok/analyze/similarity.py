"""Similarity of two sets of features: linear CKA of paired rows, and overlaps that need no pairing."""

from __future__ import annotations

import torch
from torch import Tensor

from ungrok.core.errors import NotApplicable


def center(x: Tensor) -> Tensor:
    """Return the rows minus their mean, which is taken in float64."""
    return (x.double() - x.double().mean(dim=0)).to(x.dtype)


def isometric(x: Tensor) -> Tensor:
    """Return rows with the same inner products in at most n dimensions: whatever depends on these alone costs less.

    The coordinates U·√Λ of the eigendecomposition XXᵀ = UΛUᵀ where d > n, and ``x`` itself otherwise.

    Args:
        x: float, shape (n, d).

    Returns:
        float64, shape (n, min(n, d)).

    """
    if x.shape[1] <= len(x):
        return x.double()
    values, vectors = torch.linalg.eigh((x @ x.T).double())
    rows: Tensor = vectors * values.clamp(min=0).sqrt()
    return rows


class Rows:
    """Features of n examples, centered, with what the Hilbert-Schmidt independence criterion needs of their linear kernel.

    Kept as features where they are fewer than the examples and as their n×n inner products otherwise, made once.

    Args:
        x: float, shape (n, d); products are taken in its type, sums in float64.

    """

    def __init__(self, x: Tensor) -> None:
        centered = center(x)
        self.count = len(x)
        self.features: Tensor | None = centered if x.shape[1] <= len(x) else None
        self._gram: Tensor | None = None if self.features is not None else (centered @ centered.T).double()
        self.diagonal = centered.double().square().sum(dim=1)

    @property
    def gram(self) -> Tensor:
        """The inner products of all rows, float64, shape (n, n)."""
        if self._gram is None:
            assert self.features is not None
            self._gram = (self.features @ self.features.T).double()
        return self._gram

    def permuted(self, order: Tensor) -> Rows:
        """Return the same rows in another order, without taking any product again."""
        reordered: Rows = object.__new__(Rows)
        reordered.count, reordered.diagonal = self.count, self.diagonal[order]
        reordered.features = None if self.features is None else self.features[order]
        reordered._gram = None if self._gram is None else self._gram[order][:, order]
        return reordered

    def hsic(self, other: Rows, *, unbiased: bool) -> float:
        """Return the criterion for paired rows, with linear kernels K = XXᵀ and L = YYᵀ.

        Biased: ``tr(KL) / (n − 1)²`` (Gretton et al. 2005). Unbiased, with the diagonals set to zero:
        ``[tr(KL) + 1ᵀK1·1ᵀL1/((n − 1)(n − 2)) − 2/(n − 2)·1ᵀKL1] / (n(n − 3))`` (Song et al. 2012, eq. 5). Centering the rows
        changes neither, and makes the rows of a kernel without its diagonal add up to minus the diagonal.
        """
        n = self.count
        if self.features is not None and other.features is not None:
            cross = (self.features.T @ other.features).double().square().sum().item()
        else:
            cross = (self.gram * other.gram).sum().item()
        if not unbiased:
            return float(cross / (n - 1) ** 2)
        a, b = self.diagonal, other.diagonal
        ends = (a.sum() * b.sum() / ((n - 1) * (n - 2)) - (1 + 2 / (n - 2)) * (a @ b)).item()
        return float((cross + ends) / (n * (n - 3)))


def cka(x: Rows, y: Rows, *, unbiased: bool = True) -> float:
    """Return :func:`linear_cka` of rows whose kernels have been prepared."""
    xy, xx, yy = (a.hsic(b, unbiased=unbiased) for a, b in ((x, y), (x, x), (y, y)))
    return float(xy / (xx * yy) ** 0.5) if xx > 0 and yy > 0 else float("nan")


def linear_cka(x: Tensor, y: Tensor, *, unbiased: bool = True) -> float:
    """Return linear centered kernel alignment of *paired* rows: the same n examples in two models or layers.

    ``CKA = HSIC(X, Y) / √(HSIC(X, X)·HSIC(Y, Y))``, in [0, 1]; the unbiased one can fall below 0 and is nan where a
    variance is not positive. Invariant to rotation, shift and scale of either set.

    Source: Kornblith et al. 2019 (arXiv 1905.00414); unbiased: Nguyen et al. 2021 (arXiv 2010.15327).
    Cost: n·d² multiplications where d ≤ n on both sides, and n²·d otherwise.
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
    return cka(Rows(x), Rows(y), unbiased=unbiased)


def participation_ratio(x: Tensor, *, unbiased: bool = False) -> float:
    """Return (tr Σ)² / tr Σ² of the covariance of the rows: the number of directions that share the variance.

    Between 1 and min(n − 1, d) in the plain form, which is low where n is not much above the result; the unbiased form
    divides by the unbiased estimate of tr Σ² and may be infinite.

    Args:
        x: float, shape (n, d).
        unbiased: Whether tr Σ² is estimated without bias (n ≥ 4).

    """
    rows = Rows(x)
    trace = (rows.diagonal.sum() / (len(x) - 1)).item()
    squares = rows.hsic(rows, unbiased=unbiased)
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
