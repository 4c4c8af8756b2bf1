"""One test for a family of rows: joint sign flips of whole seeds, single step, with the simultaneous intervals that invert it.

A seed is flipped as a whole: both sides of every row are swapped for it at once. The null is that each seed's two sides may be
swapped; nothing is assumed of how rows depend on each other. The statistic of a row is ``|sum d| / sqrt(sum d^2)``, and a row is
compared with the largest statistic of all rows under each flip (Westfall & Young 1993, single step), so the chance that
any row of a family without effects is named is at most alpha. A row's adjusted p-value is at most alpha exactly where its
interval leaves out zero.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ungrok.study.statistics import FEWEST_FOR_SPREAD, Estimate

Floats = NDArray[np.float64]

FEWEST = 6
"""With fewer seeds nothing is decided: the smallest two-sided p-value of five is 2/2^5, over 0.05."""

EXACT_UP_TO = 14
"""Seeds up to which all flips are enumerated; above, as many are drawn with a fixed seed."""

_TIE = 1e-9  # statistics closer than this are ties: they lie between 0 and the root of the number of seeds


def flips(seeds: int) -> Floats:
    """Return the sign vectors, float64 of shape (flips, seeds): all of them, or 2^14 drawn ones; the first flips nothing.

    One of each two opposite vectors stands for both, since no statistic tells them apart. Counting the observed data among the
    draws keeps a Monte Carlo p-value valid (Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39).
    """
    if seeds <= EXACT_UP_TO:
        bits = (np.arange(2 ** max(seeds - 1, 0))[:, None] >> np.arange(seeds)) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, (2**EXACT_UP_TO, seeds))
        bits[0] = 0
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)


class PairedRow(ABC):
    """Values of two sides, one pair per seed of the study, of which some seeds may be missing (NaN on both sides)."""

    effect: float
    n: int
    """Seeds that the row has."""

    @abstractmethod
    def statistics(self, signs: Floats) -> Floats:
        """Return the row's statistic under each flip, shape (flips,)."""

    @abstractmethod
    def interval(self, signs: Floats, others: Floats, rank: int) -> tuple[float, float]:
        """Return the effects that the joint test does not reject.

        Args:
            signs: Shape (flips, seeds).
            others: Largest statistic of the other rows under each flip, shape (flips,).
            rank: Flips that may reach the observed statistic where it is rejected: alpha times their number, rounded down.

        """


def _statistic(sums: Floats, squares: Floats | float) -> Floats:
    """Return |sum| / sqrt(sum of squares), 0 where all differences are 0."""
    roots = np.sqrt(np.broadcast_to(squares, np.shape(sums)))
    return np.asarray(np.divide(np.abs(sums), roots, out=np.zeros(np.shape(sums)), where=roots > 0))


class Differences(PairedRow):
    """Mean of paired differences, left minus right.

    Args:
        differences: Shape (seeds,), NaN for seeds that the row lacks.

    Raises:
        ValueError: If a difference is infinite, or all are missing.

    """

    def __init__(self, differences: ArrayLike) -> None:
        given = np.asarray(differences, dtype=np.float64)
        self._there = ~np.isnan(given)
        self._d = given[self._there]
        self.n = len(self._d)
        if self.n == 0 or not np.isfinite(self._d).all():
            raise ValueError("need a finite difference of at least one seed")
        self.effect = float(self._d.mean())

    def statistics(self, signs: Floats) -> Floats:
        """Return ``|sum s d| / sqrt(sum d^2)`` for each flip ``s``."""
        return _statistic(signs[:, self._there] @ self._d, float(self._d @ self._d))

    def interval(self, signs: Floats, others: Floats, rank: int) -> tuple[float, float]:
        """Return the ends in closed form.

        Let ``e = d - mean`` and ``x`` be how far a supposed effect lies below the mean, so that the supposed differences are
        ``e + x``. A flip reaches the observed statistic of these up to some ``x`` and not beyond: by the row itself up to
        ``max(a / (n - b), -a / (n + b))`` with ``a = sum s e`` and ``b = sum s``, and by another row, whose statistic is ``t``,
        up to ``t sqrt(sum e^2 / (n (n - t^2)))``. The end is the ``rank + 1``-th largest of these.
        """
        own = signs[:, self._there]
        e = self._d - self.effect
        a, b = own @ e, own.sum(axis=1)
        a[np.abs(a) <= _TIE * np.abs(self._d).max()] = 0.0
        spare = self.n - others**2
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(spare > _TIE, others * np.sqrt((e @ e) / (self.n * np.maximum(spare, _TIE))), np.inf)
        below, above = (self._farthest(side * a, b, reach, rank) for side in (1, -1))
        return self.effect - below, self.effect + above

    def _farthest(self, a: Floats, b: Floats, reach: Floats, rank: int) -> float:
        n = self.n
        with np.errstate(divide="ignore", invalid="ignore"):
            own = np.maximum(np.where(b < n, a / (n - b), np.inf), np.where(b > -n, -a / (n + b), np.inf))
        farthest = np.maximum(own, reach)
        return float(np.sort(farthest)[::-1][rank]) if rank < len(farthest) else 0.0


class Spreads(PairedRow):
    """Log ratio of the spreads of two paired samples, left over right.

    The differences are those of squared deviations from the median of each side (Brown & Forsythe 1974, JASA 69:364). Medians
    are computed anew under every flip, so that the test is exact where each seed's two values may be swapped. The interval
    supposes that the right side is spread around its median by a factor less.

    Args:
        left: Shape (seeds,), NaN for seeds that the row lacks.
        right: The same for the other side.

    Raises:
        ValueError: If fewer than three seeds have both values, or a side has no spread.

    """

    def __init__(self, left: ArrayLike, right: ArrayLike) -> None:
        x, y = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
        self._there = ~(np.isnan(x) | np.isnan(y))
        self._x, self._y = x[self._there], y[self._there]
        self.n = len(self._x)
        if self.n < FEWEST_FOR_SPREAD:
            raise ValueError(f"spread needs at least {FEWEST_FOR_SPREAD} seeds, got {self.n}")
        if np.ptp(self._x) == 0 or np.ptp(self._y) == 0:
            raise ValueError("a side has zero spread: its ratio to the other is undefined")
        self.effect = math.log(np.std(self._x, ddof=1) / np.std(self._y, ddof=1))
        self._center = np.median(self._y)
        self._apart = self._y - self._center

    def statistics(self, signs: Floats, supposed: float = 0.0) -> Floats:
        """Return ``|sum d| / sqrt(sum d^2)`` for each flip; ``supposed`` is the effect that the right side is freed of."""
        y, swapped = self._freed(supposed), signs[:, self._there] < 0
        return self._between(np.where(swapped, y, self._x), np.where(swapped, self._x, y))

    def _freed(self, supposed: float) -> Floats:
        """Return the right side freed of a supposed effect."""
        return self._center + math.exp(supposed) * self._apart

    def _between(self, first: Floats, second: Floats) -> Floats:
        """Return the statistic of each row, of shape (rows, seeds) on both sides."""
        u, v = ((side - _medians(side)) ** 2 for side in (first, second))
        return _statistic((u - v).sum(axis=1), ((u - v) ** 2).sum(axis=1))

    def interval(self, signs: Floats, others: Floats, rank: int) -> tuple[float, float]:
        """Return the ends: beyond them no effect on a grid, refined by bisection, is accepted."""

        def accepted(effect: float) -> bool:
            observed = self._between(self._x[None], self._freed(effect)[None])[0] - _TIE
            reached = int((others >= observed).sum())
            if reached > rank:  # by other rows alone, whatever this one's statistic is under the flips
                return True
            own = self.statistics(signs[others < observed], effect)
            return reached + int((own >= observed).sum()) > rank

        return tuple(_end(accepted, self.effect, side) for side in (-1, 1))  # type: ignore[return-value]


def _medians(values: Floats) -> Floats:
    """Return the median of each row, shape (rows, 1); on short rows many times as fast as ``np.median``, and bit for bit the same."""
    ordered, half = np.sort(values, axis=1), values.shape[1] // 2
    middle = ordered[:, [half]]
    return middle if values.shape[1] % 2 else (ordered[:, [half - 1]] + middle) / 2


GRID, FARTHEST = 0.25, 8.0
"""Steps in which an end of an interval of log ratios is looked for, and how far from the effect at most."""


def _end(accepted: Callable[[float], bool], effect: float, side: int) -> float:
    """Return the accepted value that lies farthest from the effect on one side; infinite where the farthest one tried is accepted."""
    tried = np.arange(0.0, FARTHEST + GRID, GRID)
    last = next((i for i in reversed(range(len(tried))) if accepted(effect + side * tried[i])), 0)
    if last == len(tried) - 1:
        return side * math.inf
    low, high = tried[last], tried[last + 1]
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if accepted(effect + side * middle) else (low, middle)
    return float(effect + side * low)


OTHERS_FIRST = 4 / 5
"""Share of alpha that the first test may spend where some rows are tested after the others."""


def family(
    rows: Sequence[PairedRow], seeds: int, alpha: float = 0.05, last: Sequence[bool] | None = None
) -> list[Estimate]:
    """Test all rows of a family at once, or some of them after the others, so that the others do not depend on them.

    Where some rows come last, the others are tested by themselves at :data:`OTHERS_FIRST` of alpha, and the last ones by themselves at what
    is left, whatever was found before. So any row of the family is named falsely with a chance of at most alpha, as before, whichever
    rows have an effect. With few seeds nothing may be left for the last ones.

    Args:
        rows: The rows, with values of the same ``seeds`` seeds in the same order.
        seeds: Seeds of the study.
        alpha: Chance that any row is named where no side differs; one minus the level of the simultaneous intervals.
        last: Per row, whether it is tested after the others; none when None. Where it is all or none, there is one test.

    Returns:
        Per row its effect, its simultaneous interval, and the adjusted p-value, at least ``1 / len(flips(seeds))``: at most alpha exactly
        where the interval leaves out zero.

    """
    signs = flips(seeds)
    table = np.stack([row.statistics(signs) for row in rows]) if rows else np.zeros((0, len(signs)))
    later = np.zeros(len(rows), dtype=bool) if last is None else np.asarray(last, dtype=bool)
    if later.all() or not later.any():
        return _tested(rows, table, signs, _rank(alpha, signs))
    first = [row for row, is_last in zip(rows, later, strict=True) if not is_last]
    rest = [row for row, is_last in zip(rows, later, strict=True) if is_last]
    own, every = _rank(OTHERS_FIRST * alpha, signs), _rank(alpha, signs)
    estimates = iter(_tested(first, table[~later], signs, own))
    after = iter(_tested(rest, table[later], signs, every - own))
    return [
        replace(one := next(after), p_value=min(1.0, one.p_value + own / len(signs)))
        if is_last
        else replace(one := next(estimates), p_value=min(1.0, one.p_value / OTHERS_FIRST))
        for is_last in later
    ]


def _rank(alpha: float, signs: Floats) -> int:
    """Return how many flips may reach the observed statistic where it is rejected."""
    return math.floor(alpha * len(signs) * (1 + 1e-12))


def _tested(rows: Sequence[PairedRow], table: Floats, signs: Floats, rank: int) -> list[Estimate]:
    """Return the estimates of one test."""
    first, second = _largest(table)
    return [
        _estimate(row, own, np.where(own == first, second, first), signs, rank)
        for row, own in zip(rows, table, strict=True)
    ]


def _largest(table: Floats) -> tuple[Floats, Floats]:
    """Return the largest and second largest of every column, 0 where there are fewer rows."""
    padded = np.vstack([table, np.zeros((2, table.shape[1]))])
    ordered = np.partition(padded, len(padded) - 2, axis=0)
    return ordered[-1], ordered[-2]


def _estimate(row: PairedRow, own: Floats, others: Floats, signs: Floats, rank: int) -> Estimate:
    """Return the estimate of one row; ``others`` are the largest statistics of the other rows, shape (flips,)."""
    reached = np.maximum(own, others) >= own[0] - _TIE
    low, high = row.interval(signs, others, rank)
    p_value = float(reached.mean())
    if not (low <= 0 <= high) and reached.sum() > rank:  # rounding at an end: the test decides
        low, high = min(low, 0.0), max(high, 0.0)
    return Estimate(row.effect, low, high, p_value, row.n)
