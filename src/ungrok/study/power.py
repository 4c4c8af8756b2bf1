"""What a study can find, before it is run: the smallest p-value of its family, and the ratio of updates it would find."""

from __future__ import annotations

import math

import numpy as np

from ungrok.study.inference import EXACT_UP_TO, OTHERS_FIRST, Floats, flips

TABLES = 300
"""Simulated families, the same for every ratio that is tried."""

FLIPS = 2048
"""Flips at most: more change the critical value by less than the simulation does."""

LARGEST = 1000.0
"""Ratios above are not tried."""


def smallest_p(seeds: int) -> float:
    """Return the smallest p-value that joint sign flips of so many seeds can give: one over their number."""
    return 0.5 ** (min(seeds, EXACT_UP_TO + 1) - 1)


def found_first_and_last(rows: int, last: int, seeds: int, alpha: float = 0.05) -> tuple[float | None, float | None]:
    """Return the ratios that a family finds in the rows that are tested first, and in those that are tested last; None where there are none.

    Where there are both, each part has its own share of alpha, as in :func:`~ungrok.study.inference.family`.

    Args:
        rows: Rows of the family.
        last: How many of them are tested last.
        seeds: As for :func:`detectable`.
        alpha: Of the whole family.

    """
    share = OTHERS_FIRST if 0 < last < rows else 1.0
    first, after = rows - last, last
    return (
        detectable(first, seeds, share * alpha) if first else None,
        detectable(after, seeds, (1 - share or 1.0) * alpha) if after else None,
    )


def detectable(rows: int, seeds: int, alpha: float = 0.05, power: float = 0.8, sd: float = 0.3) -> float:
    """Return the ratio of updates that a headline family finds with a given power.

    By simulation with a fixed seed: one row has the effect, and all other rows have none; differences of log updates are normal,
    and independent between rows and seeds. The critical value is that of joint sign flips, as in
    :func:`~ungrok.study.inference.family`.

    Args:
        rows: Rows of the family.
        seeds: Seeds of the study.
        alpha: Level of the family.
        power: Chance that the row gets the right word.
        sd: Standard deviation over seeds of the difference of log updates.

    Returns:
        The ratio, at least 1; infinite where so few seeds cannot give any word, or where it exceeds :data:`LARGEST`.

    """
    signs = flips(seeds)
    rank = math.floor(alpha * len(signs) * (1 + 1e-12))
    if rank < 1:
        return math.inf
    draw = np.random.default_rng(0)
    signs = signs[np.append(0, 1 + draw.permutation(len(signs) - 1)[: FLIPS - 1])]
    rank = math.floor(alpha * len(signs) * (1 + 1e-12))
    noise = draw.normal(0.0, sd, (TABLES, seeds))
    others = np.stack([_largest(draw.normal(size=(rows - 1, seeds)), signs) for _ in range(TABLES)])

    def found(ratio: float) -> float:
        d = noise + math.log(ratio)
        own = np.abs(d @ signs.T) / np.linalg.norm(d, axis=1, keepdims=True)
        reached = (np.maximum(own, others) >= own[:, :1] - 1e-9).sum(axis=1)
        return float(np.mean((reached <= rank) & (d.sum(axis=1) > 0)))

    if found(LARGEST) < power:
        return math.inf
    low, high = 0.0, math.log(LARGEST)
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if found(math.exp(middle)) >= power else (middle, high)
    return math.exp(high)


def _largest(d: Floats, signs: Floats) -> Floats:
    """Return the largest statistic of rows without effect under each flip, shape (flips,)."""
    statistics: Floats = np.abs((d / np.linalg.norm(d, axis=1, keepdims=True)) @ signs.T)
    return np.asarray(statistics.max(axis=0, initial=0.0))
