"""Memorization and influence: what a model gets right because it held an example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ungrok.audits.calibrated import (
    DRAWS,
    LEAST,
    Calibrated,
    Floats,
    Needed,
    Null,
    interval_around,
    jackknife,
    needed_from,
    signals_of,
    sizes_up_to,
    without_groups,
)
from ungrok.core.errors import RecipeError
from ungrok.core.seeds import derive

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Memorization(Calibrated):
    """The outcome; ``values`` are the memorization of single examples, between −1 and 1.

    Args:
        null_values: ``values`` where models changed what they held at random, shape (draws, examples).

    """

    null_values: Floats

    @property
    def mean(self) -> float:
        """Mean memorization over examples."""
        return self.summaries["mean"]

    def thirds(self) -> tuple[Indices, Indices, Indices]:
        """Return the examples of low, middle and high memorization, in that order; ties by their number (RUM, arXiv 2406.01257)."""
        low, middle, high = np.array_split(np.argsort(self.values, kind="stable"), 3)
        return low, middle, high


def memorization(correct: ArrayLike, held: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> Memorization:
    """Return, for each example, mean correctness over models that held it minus that over those that did not (Feldman, arXiv 1906.05271).

    In the null, models exchange the sets that they held, whole, so that blocks stay blocks.

    Args:
        correct: Whether a model was right, shape (models, examples), bool or 0 and 1; at least 4 models.
        held: Whether it was trained on the example, same shape.
        draws: Of the null.
        seed: Of the null.

    Raises:
        RecipeError: If shapes differ, or an example was held by all models or by none.

    """
    right, inside = _pair(correct, held)
    values = _memorized(right, inside)
    null_values = _null(right, inside, len(right), draws, seed)
    mean, models = float(values.mean()), len(right)
    over_models = jackknife([{"mean": _mean(right[kept], inside[kept])} for kept in without_groups(models)])["mean"]
    over_examples = None
    if values.size > 1:
        over_examples = jackknife([{"mean": float(values[kept].mean())} for kept in without_groups(values.size)])[
            "mean"
        ]
    freedom = len(without_groups(models)) - 1
    return Memorization(
        values=values,
        summaries={"mean": mean},
        judged="mean",
        intervals={
            "mean": interval_around(mean, float(np.hypot(over_models, over_examples or 0)), freedom, models, (-1, 1))
        },
        over_models=interval_around(mean, over_models, freedom, models, (-1, 1)),
        over_examples=None if over_examples is None else interval_around(mean, over_examples, freedom, models, (-1, 1)),
        null=Null(null_values.mean(axis=1), (models, models), 0.0),
        needed=_needed(right, inside, abs(mean), draws, seed),
        null_values=null_values,
    )


def _null(right: Floats, inside: Floats, models: int, draws: int, seed: int) -> Floats:
    """Return values, shape (draws, examples), of so many models that exchanged what they held; NaN where all or none held an example."""
    numbers = np.random.default_rng(derive(seed, "null", "memorization", models))
    orders = [(numbers.permutation(len(right))[:models], numbers.permutation(models)) for _ in range(draws)]
    return np.stack([_memorized(right[chosen], inside[chosen][order]) for chosen, order in orders])


def _needed(right: Floats, inside: Floats, value: float, draws: int, seed: int) -> Needed:
    """Take memorization itself for the value at which nothing was unlearned."""
    nulls = {}
    for models in sizes_up_to(len(right)):
        known = [row[~np.isnan(row)] for row in _null(right, inside, models, draws, seed)]
        nulls[models] = float(np.quantile([abs(row.mean()) for row in known if row.size] or [1.0], 0.95))
    return needed_from(value, nulls)


def _mean(right: Floats, inside: Floats) -> float:
    values = _memorized(right, inside)
    return float(values[~np.isnan(values)].mean())


def influence(correct: ArrayLike, held: ArrayLike, on: ArrayLike | None = None) -> Floats:
    """Return the influence of each example on each other: correctness there of models that held it minus that of those that did not.

    Args:
        correct: Whether a model was right, shape (models, examples).
        held: Whether it was trained on an example, same shape.
        on: Correctness on other examples, shape (models, others); by default ``correct``.

    Returns:
        float64, shape (examples, others); the diagonal is :func:`memorization` where ``on`` is left out. It takes 8 bytes for each pair:
        hand in fewer columns of ``held`` and of ``correct`` where that is too much.

    Raises:
        RecipeError: As there.

    """
    right, inside = _pair(correct, held)
    asked = right if on is None else _zero_or_one("on", on)
    if len(asked) != len(inside):
        raise RecipeError(f"on: {len(asked)} models have answers there, and {len(inside)} in held")
    count = inside.sum(axis=0)[:, None]
    with_it = inside.T @ asked
    return np.asarray(with_it / count - (asked.sum(axis=0) - with_it) / (len(inside) - count))


def worst_case(influence: ArrayLike, size: int) -> Indices:
    """Return a forget set without which a model gets most others wrong, as far as influences add up, one example after another.

    The damage of a set S is the sum of ``influence[i, j]`` over i in S and j outside of it; the next example is the one with which it is largest,
    the first of several. It is no more than a guess at the worst set: the best of all sets is not sought, influences of single examples
    need not add up, and the largest of many estimates are too large. Fan et al. (arXiv 2403.07362) search for other worst sets, those hardest to erase,
    by training; this takes ``examples × size`` additions.

    Args:
        influence: As :func:`influence` returns it without ``on``, shape (examples, examples); the diagonal does not matter.
        size: Number of examples to choose, fewer than there are.

    Returns:
        int64, shape (size,), in the order of choice.

    Raises:
        RecipeError: If it is not square, holds what is not finite, or ``size`` does not fit.

    """
    given = np.asarray(influence, dtype=np.float64)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not np.isfinite(given).all():
        raise RecipeError(f"influence: a square array of finite numbers is needed, not one of shape {given.shape}")
    if not 0 < size < len(given):
        raise RecipeError(f"size: {size} is not allowed; 1 to {len(given) - 1} examples can be chosen")
    gains, chosen = given.sum(axis=1) - np.diagonal(given), np.empty(size, dtype=np.int64)
    for place in range(size):
        chosen[place] = best = int(gains.argmax())
        # The others lose what they would have done to it, and what it does to them.
        gains -= given[:, best] + given[best]
        gains[best] = -np.inf
    return chosen


def _memorized(right: Floats, inside: Floats) -> Floats:
    count, with_it = inside.sum(axis=0), (right * inside).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(with_it / count - (right.sum(axis=0) - with_it) / (len(inside) - count))


def _zero_or_one(name: str, given: ArrayLike) -> Floats:
    array = signals_of(name, given, LEAST)
    if not np.isin(array, (0, 1)).all():
        raise RecipeError(f"{name}: only 0 and 1, or False and True, are allowed")
    return array


def _pair(correct: ArrayLike, held: ArrayLike) -> tuple[Floats, Floats]:
    right, inside = _zero_or_one("correct", correct), _zero_or_one("held", held)
    if right.shape != inside.shape:
        raise RecipeError(f"held: shape {inside.shape} differs from that of correct, {right.shape}")
    lone = int(((inside.sum(axis=0) % len(inside)) == 0).sum())
    if lone:
        raise RecipeError(
            f"held: {lone} examples were held by all models or by none, so that nothing can be said of them"
        )
    return right, inside
