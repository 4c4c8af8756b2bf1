"""Rank correlations over places and seeds: given a covariate, with intervals over seeds and permutations over places."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EDGE = 1 - 1e-6
"""Correlations are clipped to this size, whose artanh is 7.25: that of 1 is infinite."""

PERMUTATIONS = 1000
"""Most orders of places that are tried."""


def partial_rank_correlation(x: Floats, y: Floats, z: Floats | None = None, weights: Floats | None = None) -> Floats:
    """Return Spearman's correlation of x and y, given z: the correlation of their ranks without what the ranks of z explain of them.

    ``(r_xy − r_xz·r_yz) / √((1 − r_xz²)(1 − r_yz²))`` with r of ranks, ties averaged.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        z: Shape (n,), or None.
        weights: Shape (draws, n): how often each point counts; ranks are those of all points. Each counts once when None.

    Returns:
        Shape (draws,), or () without weights, in [−1, 1]; nan where x or y does not vary, or is a function of z.

    """
    count = np.ones((1, len(x))) if weights is None else weights
    partial = _partial(_ranks(x), _ranks(y), _ranks(np.zeros(len(x)) if z is None else z), count)
    return partial[0] if weights is None else partial


def _ranks(values: Floats) -> Floats:
    """Return ranks about their mean, ties averaged."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values) - (len(values) + 1) / 2, dtype=np.float64)


def _partial(x: Floats, y: Floats, z: Floats, count: Floats) -> Floats:
    """Return correlations of x and y given z, shape (draws,): of x of shape (n,) or (draws, n), each point counted as ``count`` (draws, n) says."""
    weighted, size = count * x, count.sum(axis=1)

    def about(products: Floats, one: Floats, two: Floats) -> Floats:
        return np.asarray(products / size - (one / size) * (two / size))

    in_x, in_y, in_z = weighted.sum(axis=1), count @ y, count @ z
    with np.errstate(divide="ignore", invalid="ignore"):
        xx, yy, zz = (
            about(total, one, one)
            for total, one in (((weighted * x).sum(axis=1), in_x), (count @ y**2, in_y), (count @ z**2, in_z))
        )
        xx, yy, zz = (np.where(spread > 1e-9, spread, 0.0) for spread in (xx, yy, zz))
        xy = about(weighted @ y, in_x, in_y) / np.sqrt(xx * yy)
        # A z that does not vary explains nothing.
        xz = np.nan_to_num(about(weighted @ z, in_x, in_z) / np.sqrt(xx * zz), posinf=0.0, neginf=0.0)
        yz = np.nan_to_num(about(count @ (y * z), in_y, in_z) / np.sqrt(yy * zz), posinf=0.0, neginf=0.0)
        left = np.sqrt(np.clip((1 - xz**2) * (1 - yz**2), 0, None))
        partial = np.where((left > 1e-9) & (xx * yy > 0), np.clip((xy - xz * yz) / left, -1, 1), np.nan)
    return np.asarray(partial)


def pseudo_values(points: pd.DataFrame, outcome: str, seeds: Sequence[object]) -> Floats:
    """Return the jackknife pseudo-values of the partial rank correlation given accuracy, on Fisher's scale, by seed.

    ``n·z − (n − 1)·z₋ₛ``, where z = artanh r is of all points and z₋ₛ of all but those of seed s. The points of a seed are left
    out together, since they share data and initial weights (Tukey 1958).

    Args:
        points: Columns seed, change, accuracy and the outcome's; no missing values.
        outcome: Name of the outcome's column.
        seeds: All seeds, also those that have points of other measures only.

    Returns:
        Shape (seeds,); nan for a seed without points, and everywhere where nothing varies.

    """
    x, y, z = (points[name].to_numpy(dtype=float) for name in ("change", outcome, "accuracy"))
    there = points["seed"].to_numpy()[None] == np.array(seeds)[:, None]
    everything, *without = fisher(partial_rank_correlation(x, y, z, np.vstack([np.ones(len(x)), ~there])))
    n = int(there.any(axis=1).sum())
    return np.where(there.any(axis=1), n * everything - (n - 1) * np.array(without), np.nan)


def fisher(correlation: Floats) -> Floats:
    """Return artanh r, with r clipped to ±:data:`EDGE`."""
    return np.asarray(np.arctanh(np.clip(correlation, -EDGE, EDGE)))


def simultaneous(pseudo: Floats, alpha: float, flips: int = 4096) -> Floats:
    """Return intervals of correlations that hold together: the chance that any of them misses is alpha.

    ``tanh(m ± c·s/√n)`` with m and s the mean and standard deviation of a row's pseudo-values over seeds, and c the 1 − alpha quantile
    of the largest ``|t|`` of all rows when the signs of whole seeds are flipped, the same seeds in every row (max-t: Westfall & Young
    1993). The level is exact for pseudo-values that are symmetric about 0. Unlike Bonferroni's and Holm's, this correction is
    smaller for rows that vary together than for independent ones.

    Args:
        pseudo: Shape (rows, seeds); nan where a row has no points of a seed.
        alpha: One minus the joint level.
        flips: Where there are more ways to flip than this, so many are drawn at random.

    Returns:
        Lower and upper ends, shape (rows, 2); nan for a row without values.

    """
    here = np.isfinite(pseudo)
    n = here.sum(axis=1)
    ends, known = np.full((len(pseudo), 2), np.nan), n >= 2
    if not known.any():
        return ends
    values, n = np.where(here, pseudo, 0.0)[known], n[known]
    seeds = pseudo.shape[1]
    if 2**seeds <= flips:
        signs = 1.0 - 2.0 * ((np.arange(2**seeds)[:, None] >> np.arange(seeds)) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (flips, seeds))
        signs[0] = 1.0  # the data themselves

    def scale(mean: Floats) -> Floats:
        spread = (values**2).sum(axis=1) - n * mean**2
        return np.asarray(np.sqrt(np.maximum(spread, 1e-24) / (n - 1) / n))

    flipped = signs @ values.T / n
    reach = np.quantile((np.abs(flipped) / scale(flipped)).max(axis=1), 1 - alpha, method="higher")
    middle = values.sum(axis=1) / n
    ends[known] = np.tanh(np.stack([middle - reach * scale(middle), middle + reach * scale(middle)], axis=1))
    return ends


def orders(blocks: Sequence[object], most: int = PERMUTATIONS) -> NDArray[np.int64]:
    """Return orders of places in which those of a block change places among each other only.

    Args:
        blocks: The block of each place; places of one block stand together.
        most: Where there are more orders, the one that changes nothing and others drawn at random with a fixed seed, so many in all.

    Returns:
        Shape (orders, places): which place's measure each place gets. The first changes nothing.

    """
    parts = [list(part) for _, part in itertools.groupby(range(len(blocks)), key=lambda i: blocks[i])]
    if math.prod(math.factorial(len(part)) for part in parts) <= most:
        every = itertools.product(*(itertools.permutations(part) for part in parts))
        return np.array([list(itertools.chain(*one)) for one in every], dtype=np.int64)
    random = np.random.default_rng(0)
    drawn = [np.concatenate([random.permutation(part) for part in parts]) for _ in range(most - 1)]
    return np.array([np.arange(len(blocks)), *drawn], dtype=np.int64)


def permuted(points: pd.DataFrame, outcome: str, ordered: NDArray[np.int64]) -> Floats:
    """Return partial rank correlations within seeds, given accuracy, after the measure has been moved between places, the same way in every seed.

    Ranks are those of a seed's places, the first among them, less their mean: what a seed's places have in common is no relation
    between places, and the answer is the same whichever place changes are from.

    Args:
        points: Columns ``place`` (a number), ``first`` (that of the place from which changes are, and of which there is no point),
            ``group`` (what is of one seed), change, accuracy and the outcome's; no missing values, at most one point a place and group.
        outcome: Name of the outcome's column.
        ordered: From :func:`orders`. Places without points are passed over: the others keep their order among each other.

    Returns:
        Shape (orders,), the first as it was measured. What gets a measure that its seed lacks is left out.

    """
    places = np.unique(points[["place", "first"]])
    place, first = (np.searchsorted(places, points[name]) for name in ("place", "first"))
    _, group = np.unique(points["group"].to_numpy().astype(str), return_inverse=True)
    x, y, z = (
        _within(points[name].to_numpy(dtype=float), group, place, first) for name in ("change", outcome, "accuracy")
    )
    among = np.searchsorted(places, ordered[np.isin(ordered, places)].reshape(len(ordered), len(places)))
    seeds, here = np.nonzero(np.isfinite(x))
    moved = x[seeds, among[:, here]]
    return _partial(np.nan_to_num(moved), y[seeds, here], z[seeds, here], np.isfinite(moved).astype(float))


def _within(changes: Floats, group: NDArray[np.int64], place: NDArray[np.int64], first: NDArray[np.int64]) -> Floats:
    """Return centered ranks in (−1/2, 1/2) of each group's places, the first with a change of 0, shape (groups, places); nan where there is no point."""
    from scipy.stats import rankdata

    values = np.full((group.max() + 1, max(place.max(), first.max()) + 1), np.nan)
    values[group, first], values[group, place] = 0.0, changes
    there = np.isfinite(values)
    count = there.sum(axis=1, keepdims=True)
    ranks = rankdata(np.where(there, values, np.inf), axis=1)
    return np.asarray(np.where(there, (ranks - (count + 1) / 2) / count, np.nan))


def permutation_p(correlations: Floats) -> Floats:
    """Return p-values of rows that hold together, from the largest deviation of any row in each order (max-statistic).

    A deviation is that of a correlation from its mean over all orders, in standard deviations over orders. The chance that any p is
    below a level is at most that level where places are exchangeable in the measures (Westfall & Young 1993).

    Args:
        correlations: Shape (rows, orders), from :func:`permuted`; a row of nan is left out.

    Returns:
        Shape (rows,): the share of orders whose largest deviation is at least that of the row as it was measured; nan for one left out.

    """
    p, there = np.full(len(correlations), np.nan), np.isfinite(correlations[:, 0])
    if not there.any():
        return p
    known = np.ma.masked_invalid(correlations[there])
    away = np.ma.abs(known - known.mean(axis=1, keepdims=True))
    deviation = (away / np.maximum(known.std(axis=1, keepdims=True), 1e-9)).filled(0.0)
    p[there] = (deviation.max(axis=0) >= deviation[:, :1] - 1e-9).mean(axis=1)
    return p


def smallest_p(blocks: Sequence[object]) -> float:
    """Return the smallest p that exchanging places can give: one over the number of orders; ``blocks`` as for :func:`orders`."""
    return 1 / math.prod(math.factorial(list(blocks).count(block)) for block in set(blocks))
