"""The score of the NeurIPS 2023 unlearning challenge, with every threshold tried."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ungrok.audits.calibrated import DRAWS, Calibrated, Floats, Statistic, Table, blocks, calibrated, sides_of
from ungrok.core.errors import RecipeError

Bools = NDArray[np.bool_]
Counts = NDArray[np.int32]

DELTA, CAP, BIN, NARROW = 1e-5, 50.0, 0.5, 0.01
NEVER = np.iinfo(np.int32).max
"""A number of models that no threshold reaches."""


@dataclass(frozen=True)
class NeurIPSScore(Calibrated):
    """The outcome; ``values`` are the ε of single examples, between 0 and 50.

    Args:
        points: What each example earns, shape (examples,): ``2^−k`` in the k-th bin of ε, of width one half; 0 from ``⌈ln(N − 1)⌉`` on.

    """

    points: Floats

    @property
    def forgetting(self) -> float:
        """F, the mean of the points. Equal models do not earn 1: compare with ``null``."""
        return self.summaries["forgetting"]

    @property
    def epsilon(self) -> float:
        """The mean of ε over examples."""
        return self.summaries["epsilon"]

    def score(self, retain: tuple[float, float], test: tuple[float, float]) -> float:
        """Return ``F·(RA/RA*)·(TA/TA*)``.

        Args:
            retain: Accuracies on the retain set of the unlearned models and of the oracles.
            test: The same on test data.

        Raises:
            RecipeError: If an accuracy of the oracles is 0.

        """
        if min(retain[1], test[1]) <= 0:
            raise RecipeError(f"accuracies of the oracles must be above 0, not {retain[1]} and {test[1]}")
        return self.forgetting * (retain[0] / retain[1]) * (test[0] / test[1])


def neurips_score(
    unlearned: ArrayLike,
    oracle: ArrayLike,
    *,
    original: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> NeurIPSScore:
    """Score unlearned models by how well a threshold tells them from oracles (Triantafillou et al., arXiv 2406.09073, section 3).

    For each example, ε is the largest ``max{ln(1 − δ − FPR) − ln FNR, ln(1 − δ − FNR) − ln FPR}`` over single and double thresholds,
    δ = 1e-5. The rules are those of the public code (google-deepmind/unlearning_evaluation, Apache-2.0): thresholds at which exactly
    one of the two rates is 0 do not count; where both are 0, ε is 50. A single threshold calls the side with the larger median
    positive, a double one the side with the narrower range. A range under 1 % of the other's gives 50. It tries 100 thresholds for
    each unit, double ones only where both lie within 2 of the ends of the narrower range; here every threshold is tried, so that ε is no
    smaller, and does not change with the unit of the signals. Where none counts, ε is 0 if both sides hold one
    and the same value, and 50 otherwise.

    Args:
        unlearned: Margins on forget examples, shape (models, examples), at least 4 models.
        oracle: Those of models trained without the forget set.
        original: Margins before unlearning, to say how many models are needed.
        draws: Of the null, for which the oracles are split in halves.
        seed: Of the null.

    Raises:
        RecipeError: If an argument is not allowed.

    """
    left, right = sides_of(unlearned=unlearned, oracle=oracle)
    before = None if original is None else sides_of(original=original, oracle=oracle)[0]
    statistic = Statistic(_table, _summaries, "forgetting", None, {"epsilon": (0, CAP)}, "halves")
    table, common = calibrated(statistic, left, right, before, draws=draws, seed=seed)
    return NeurIPSScore(values=table[0], points=table[1], **common)


def _summaries(table: Table) -> dict[str, float]:
    return {"forgetting": float(table[1].mean()), "epsilon": float(table[0].mean())}


def _table(unlearned: Floats, oracle: Floats) -> Table:
    epsilon = epsilons(unlearned, oracle)
    return epsilon, points(epsilon, len(unlearned))


def points(epsilon: Floats, models: int) -> Floats:
    """Return what each ε earns with so many unlearned models."""
    bins = int(math.ceil(math.log(max(models - 1, 1))) / BIN)
    k = np.floor(epsilon / BIN)
    return np.asarray(np.where(k < bins, 2.0**-k, 0.0))


def epsilons(unlearned: Floats, oracle: Floats, delta: float = DELTA) -> Floats:
    """Return ε of each example, shape (examples,), from signals of shape (models, examples)."""
    values = np.empty(unlearned.shape[1])
    for block in blocks(unlearned.shape[1], len(unlearned) + len(oracle)):
        values[block] = _epsilons(unlearned[:, block], oracle[:, block], delta)
    return values


def _epsilons(unlearned: Floats, oracle: Floats, delta: float) -> Floats:
    oracle_above = np.median(oracle, axis=0) > np.median(unlearned, axis=0)
    ranges = [np.ptp(side, axis=0) for side in (unlearned, oracle)]
    # Where ranges are equal, the public code takes the side with the smaller median for the narrower.
    oracle_narrower = (ranges[1] < ranges[0]) | ((ranges[1] == ranges[0]) & ~oracle_above)
    best = np.full(unlearned.shape[1], -np.inf)
    for rule, oracle_positive in ((_single, oracle_above), (_double, oracle_narrower)):
        for chosen, positive, negative in ((oracle_positive, oracle, unlearned), (~oracle_positive, unlearned, oracle)):
            if chosen.any():
                sides = Sides(positive[:, chosen], negative[:, chosen])
                best[chosen] = np.maximum(best[chosen], rule(sides, _gains(len(positive), len(negative), delta)))
    small, large = np.minimum(*ranges), np.maximum(*ranges)
    best[(small < NARROW * large) | np.isneginf(best)] = CAP
    best[(large == 0) & (unlearned[0] == oracle[0])] = 0
    return np.asarray(np.clip(best, 0, CAP))


def _gains(positives: int, negatives: int, delta: float) -> Floats:
    """Return ε by the number of missed positives and of false positives; −∞ where a threshold does not count."""
    missed, false = np.arange(positives + 1)[:, None] / positives, np.arange(negatives + 1)[None] / negatives
    with np.errstate(divide="ignore", invalid="ignore"):
        both = np.log(1 - delta - false) - np.log(missed), np.log(1 - delta - missed) - np.log(false)
        gains = np.maximum(np.fmax(*both), 0)
    gains[0], gains[:, 0] = -np.inf, -np.inf
    gains[0, 0] = CAP
    return np.asarray(np.where(np.isnan(gains), -np.inf, gains))


class Sides:
    """Signals of both sides in one order; a place is a number of signals below a threshold, shape (models of both, examples).

    Args:
        positive: Shape (models, examples).
        negative: The same.

    """

    def __init__(self, positive: Floats, negative: Floats) -> None:
        self.positives, self.negatives = len(positive), len(negative)
        both = np.concatenate([positive, negative])
        order = np.argsort(both, axis=0, kind="stable")
        ordered = np.take_along_axis(both, order, axis=0)
        self.is_positive: Bools = order < self.positives
        count, examples = both.shape
        zero = np.zeros((1, examples), dtype=np.int32)
        self.positive_below: Counts = np.concatenate([zero, self.is_positive.cumsum(axis=0, dtype=np.int32)])
        self.negative_below: Counts = np.concatenate([zero, (~self.is_positive).cumsum(axis=0, dtype=np.int32)])
        places = np.arange(count + 1, dtype=np.int32)[:, None]
        edge = np.ones((count + 1, examples), dtype=bool)
        edge[1:-1] = ordered[1:] != ordered[:-1]
        self.start: Counts = np.maximum.accumulate(np.where(edge, places, 0), axis=0)
        """The first place of equal values, for each place."""
        self.end: Counts = np.minimum.accumulate(np.where(edge, places, count)[::-1], axis=0)[::-1]
        """The next place at which values differ, at or after each place."""

    def at(self, counts: Counts, places: Counts) -> Counts:
        """Return counts at places."""
        return np.take_along_axis(counts, places, axis=0)


def _single(sides: Sides, gains: Floats) -> Floats:
    """Call signals from a threshold upwards positive."""
    thresholds = sides.start[:-1]
    missed = sides.at(sides.positive_below, thresholds)
    false = sides.negatives - sides.at(sides.negative_below, thresholds)
    return np.asarray(gains[missed, false].max(axis=0))


def _double(sides: Sides, gains: Floats) -> Floats:
    """Call signals between two thresholds positive.

    For each number of positives inside, the fewest negatives inside are best, but not none, unless no positive is missed.
    """
    places = np.nonzero(sides.is_positive.T)[1].reshape(-1, sides.positives).T.astype(np.int32)
    first, last = sides.at(sides.start, places), sides.at(sides.end, places + 1)
    inside = [
        (sides.at(counts, first), sides.at(counts, last)) for counts in (sides.positive_below, sides.negative_below)
    ]
    wider_left, wider_right = _widened(sides, first, last)
    best = np.full(places.shape[1], -np.inf)
    for held in range(1, sides.positives + 1):
        lower, upper = slice(0, sides.positives - held + 1), slice(held - 1, sides.positives)
        false = inside[1][1][upper] - inside[1][0][lower]
        if held < sides.positives:
            false = np.where(false == 0, np.minimum(wider_left[lower], wider_right[upper]), false)
        # Thresholds cannot part equal values: such a window holds more, and its turn comes.
        whole = inside[0][1][upper] - inside[0][0][lower] == held
        fewest = np.where(whole, false, NEVER).min(axis=0)
        known = fewest != NEVER
        best[known] = np.maximum(best[known], gains[sides.positives - held, fewest[known]])
    return best


def _widened(sides: Sides, first: Counts, last: Counts) -> tuple[Counts, Counts]:
    """Return how many negatives a window gains if it is widened to the next value on its left or right; many where that is a positive's."""
    before = sides.at(sides.start, np.maximum(first - 1, 0))
    after = sides.at(sides.end, np.minimum(last + 1, len(sides.end) - 1))
    widened = []
    for low, high in ((before, first), (last, after)):
        positives = sides.at(sides.positive_below, high) - sides.at(sides.positive_below, low)
        negatives = sides.at(sides.negative_below, high) - sides.at(sides.negative_below, low)
        widened.append(np.where((positives == 0) & (negatives > 0), negatives, NEVER).astype(np.int32))
    return widened[0], widened[1]
