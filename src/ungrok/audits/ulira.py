"""U-LiRA: can a likelihood ratio tell an unlearned model from one that never saw the example?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ungrok.audits.calibrated import (
    DRAWS,
    Calibrated,
    Floats,
    Statistic,
    Table,
    auc_of,
    blocks,
    calibrated,
    sides_of,
    tpr_of,
)
from ungrok.core.errors import RecipeError

Density = Literal["gaussian", "kernel"]

FLOOR = 1e-6
"""Least standard deviation of a fit, as a share of the largest signal or of 1."""


@dataclass(frozen=True)
class ULiRA(Calibrated):
    """The outcome of U-LiRA; ``values`` are the AUCs of single examples.

    Args:
        scores: ``p(φ | unlearned) / (p(φ | unlearned) + p(φ | never seen))`` of the unlearned models and of those that never saw the
            examples, each of shape (models, examples).

    """

    scores: tuple[Floats, Floats]

    @property
    def auc(self) -> float:
        """Area under the ROC curve, pooled over models and examples; 0.5: nothing tells them apart."""
        return self.summaries["auc"]

    @property
    def accuracy(self) -> float:
        """Share of scores on the right side of one half, both sides weighing the same; ties count half."""
        return self.summaries["accuracy"]

    @property
    def tpr_at_0_01(self) -> float:
        """True-positive rate at 1 % false positives; NaN with fewer than 100 scores of models that never saw the examples."""
        return self.summaries["tpr_at_0_01"]

    @property
    def tpr_at_0_001(self) -> float:
        """The same at 0.1 %; NaN with fewer than 1,000."""
        return self.summaries["tpr_at_0_001"]


def ulira(
    unlearned: ArrayLike,
    never: ArrayLike,
    *,
    density: Density = "gaussian",
    original: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> ULiRA:
    """Audit unlearned models by U-LiRA (Hayes et al., arXiv 2403.01218, algorithm 1), on forget examples.

    Model k of each side is left out of both fits and then scored: leaving out one of one side alone puts the null below 0.5. Where one
    side has fewer models, its k-th is left out again with the k-th beyond its end.

    Args:
        unlearned: Margins of models that held the examples and unlearned them, shape (models, examples), at least 4 models.
        never: Margins of models that never saw them, shape (models, examples).
        density: ``gaussian``, or ``kernel``: Gaussian kernels, with the width of Scott's rule, ``n^(−1/5)`` standard deviations.
        original: Margins before unlearning, to say how many models are needed.
        draws: Of the null, in which models change sides at random.
        seed: Of the null.

    Raises:
        RecipeError: If an argument is not allowed.

    """
    scorers = {"gaussian": _gaussian, "kernel": _kernel}
    if density not in scorers:
        raise RecipeError(f"density: {density!r} is none of gaussian, kernel")
    left, right = sides_of(unlearned=unlearned, never=never)
    before = None if original is None else sides_of(original=original, never=never)[0]
    statistic = Statistic(scorers[density], _summaries, "auc", 0.5, {}, "permutation")
    table, common = calibrated(statistic, left, right, before, draws=draws, seed=seed)
    return ULiRA(values=single_aucs(table[0], table[1]), scores=(table[0], table[1]), **common)


def pooled_auc(unlearned: Floats, never: Floats) -> float:
    """Return the AUC alone, by Gaussian densities, of margins of shape (models, examples) that :func:`ulira` would take."""
    return auc_of(*_gaussian(unlearned, never))


def _summaries(table: Table) -> dict[str, float]:
    members, others = table
    right = (
        (members > 0.5).mean() + 0.5 * (members == 0.5).mean() + (others < 0.5).mean() + 0.5 * (others == 0.5).mean()
    )
    return {
        "auc": auc_of(members, others),
        "accuracy": float(right) / 2,
        "tpr_at_0_01": tpr_of(members, others, 0.01),
        "tpr_at_0_001": tpr_of(members, others, 0.001),
    }


def single_aucs(members: Floats, others: Floats) -> Floats:
    """Return the AUC of each example, from arrays of shape (models, examples)."""
    from scipy.stats import rankdata

    m, n = len(members), len(others)
    values = np.empty(members.shape[1])
    for block in blocks(members.shape[1], m + n):
        ranks = rankdata(np.concatenate([members[:, block], others[:, block]]), axis=0)
        values[block] = (ranks[:m].sum(axis=0) - m * (m + 1) / 2) / (m * n)
    return values


def _floor(left: Floats, right: Floats) -> float:
    return FLOOR * max(1.0, float(np.abs(left).max()), float(np.abs(right).max()))


def _without_each(signals: Floats, floor: float) -> tuple[Floats, Floats]:
    """Return mean and standard deviation (divided by n − 1) of all models but each, shapes (models, examples)."""
    n = len(signals)
    center = signals.mean(axis=0)
    offsets = signals - center
    squares = (offsets**2).sum(axis=0) - offsets**2 * (n / (n - 1))
    return center - offsets / (n - 1), np.maximum(np.sqrt(np.maximum(squares, 0) / max(n - 2, 1)), floor)


def _pairs(left: Floats, right: Floats) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    """Return what picks, from rows of the one side, those left out with the rows of the other."""
    m, n = len(left), len(right)
    return (lambda rows: rows[np.arange(n) % m]), (lambda rows: rows[np.arange(m) % n])


def _ratio(log_unlearned: Floats, log_never: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(log_unlearned - log_never), dtype=np.float64)


def _gaussian(left: Floats, right: Floats) -> Table:
    floor = _floor(left, right)
    fits = [_without_each(side, floor) for side in (left, right)]
    of_left, of_right = _pairs(left, right)

    def log_density(signals: Floats, mean: Floats, deviation: Floats) -> Floats:
        return -0.5 * ((signals - mean) / deviation) ** 2 - np.log(deviation)

    beside_left = [of_right(part) for part in fits[1]]
    beside_right = [of_left(part) for part in fits[0]]
    return (
        _ratio(log_density(left, *fits[0]), log_density(left, *beside_left)),
        _ratio(log_density(right, *beside_right), log_density(right, *fits[1])),
    )


def _kernel(left: Floats, right: Floats) -> Table:
    floor = _floor(left, right)
    widths = [_without_each(side, floor)[1] * (len(side) - 1) ** -0.2 for side in (left, right)]
    scores = np.empty_like(left), np.empty_like(right)
    for block in blocks(left.shape[1], len(left) + len(right)):
        sides = left[:, block], right[:, block]
        for k in range(max(len(left), len(right))):
            i, j = k % len(left), k % len(right)
            fits = (sides[0], i, widths[0][i, block]), (sides[1], j, widths[1][j, block])
            for own, row in ((0, i), (1, j)):
                if row == k:
                    logs = [_log_kernel(sides[own][row], *fit) for fit in fits]
                    scores[own][row, block] = _ratio(logs[0], logs[1])
    return scores


def _log_kernel(signals: Floats, fitted: Floats, left_out: int, width: Floats) -> Floats:
    """Return the log density at signals, shape (examples,), of kernels on all fitted models but one."""
    powers = -0.5 * ((signals - np.delete(fitted, left_out, axis=0)) / width) ** 2
    top = powers.max(axis=0)
    return np.asarray(top + np.log(np.exp(powers - top).mean(axis=0)) - np.log(width))
