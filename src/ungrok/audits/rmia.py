"""RMIA: is an example likelier under a model than others are, all against models that never saw it?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ungrok.audits.calibrated import (
    DRAWS,
    LEAST,
    Calibrated,
    Floats,
    Null,
    Statistic,
    Table,
    auc_of,
    calibrated,
    signals_of,
)
from ungrok.core.errors import RecipeError
from ungrok.core.seeds import derive

TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class RMIA(Calibrated):
    """The outcome of RMIA; ``values`` are scores of single examples, the mean over target models.

    Args:
        scores: Of every target model, shape (models, examples).

    """

    scores: Floats

    @property
    def auc(self) -> float:
        """How often a target model scores higher than one that never saw the example, pooled over models and examples."""
        return self.summaries["auc"]


def rmia(
    target: ArrayLike,
    out: ArrayLike,
    *,
    population: tuple[ArrayLike, ArrayLike],
    a: float = 0.3,
    gamma: float = 1.0,
    original: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> RMIA:
    """Score examples by RMIA (Zarifzadeh et al., arXiv 2312.03262, eqs. 3 and 11), offline.

    With ``p(x) = ½[(1 + a)·mean p_out(x) + (1 − a)]``, the score of x is the share of population examples z for which
    ``[p_target(x)/p(x)] / [p_target(z)/p(z)] ≥ γ``. The public code (ml_privacy_meter, MIT) asks for ``> γ``, which differs in ties alone.

    The AUC compares target models with out models put in their place. Each is scored without one out model: the out models without
    themselves, target k without the k-th.

    Args:
        target: Probabilities of the true class under the models under test, shape (models, examples) or (examples,).
        out: The same under at least 4 models that never saw the examples, shape (models, examples).
        population: ``(target_z, out_z)``: the same of examples that no model saw, shapes (models, population) each.
        a: Between 0 and 1: how much less likely examples are under models that never saw them.
        gamma: Positive.
        original: ``target`` and ``target_z`` side by side before unlearning, shape (models, examples + population), to say how many models are
            needed.
        draws: Of the null, in which out models stand in for targets.
        seed: Of the null.

    Raises:
        RecipeError: If an argument is not allowed.

    """
    if not 0 <= a <= 1 or not gamma > 0:
        raise RecipeError(f"a: {a} must lie between 0 and 1, and gamma: {gamma} above 0")
    left, right, examples = _joined(target, out, population)

    def scores(left: Floats, right: Floats) -> Table:
        return _left_out(left, right, examples, a, gamma)

    def summaries(table: Table) -> dict[str, float]:
        return {"auc": auc_of(table[0], table[1])}

    statistic = Statistic(scores, summaries, "auc", 0.5, {}, "halves")
    before = None if original is None else _probabilities("original", original, 1)
    _, common = calibrated(statistic, left, right, before, draws=draws, seed=seed)
    common["null"] = _null(statistic, right, min(len(left), len(right) // 2), draws, seed)
    every = _scores(left, np.broadcast_to(right.mean(axis=0), left.shape), examples, a, gamma)
    return RMIA(values=every.mean(axis=0), scores=every, **common)


def _probabilities(name: str, given: ArrayLike, least: int) -> Floats:
    array = signals_of(name, np.atleast_2d(np.asarray(given, dtype=np.float64)), least)
    if array.min() < 0 or array.max() > 1:
        raise RecipeError(
            f"{name}: probabilities between 0 and 1 are needed, not {array.min():.6g} to {array.max():.6g}"
        )
    return array


def _joined(target: ArrayLike, out: ArrayLike, population: tuple[ArrayLike, ArrayLike]) -> tuple[Floats, Floats, int]:
    """Return both sides with the population behind the examples, and the number of examples."""
    parts = [_probabilities("target", target, 1), _probabilities("out", out, LEAST)]
    behind = [_probabilities("target_z", population[0], 1), _probabilities("out_z", population[1], LEAST)]
    for part, after, name in zip(parts, behind, ("target", "out"), strict=True):
        if len(part) != len(after):
            raise RecipeError(f"population: {len(after)} models have signals there, and {len(part)} in {name}")
    for pair, name in ((parts, "examples"), (behind, "population examples")):
        if pair[0].shape[1] != pair[1].shape[1]:
            raise RecipeError(
                f"target and out have {pair[0].shape[1]} and {pair[1].shape[1]} {name}; the same are needed"
            )
    joined = [np.concatenate([part, after], axis=1) for part, after in zip(parts, behind, strict=True)]
    return joined[0], joined[1], parts[0].shape[1]


def _scores(signals: Floats, mean_out: Floats, examples: int, a: float, gamma: float) -> Floats:
    """Return scores, shape (models, examples), of signals and means of out models with the population behind the examples."""
    ratios = signals / np.maximum((1 + a) / 2 * mean_out + (1 - a) / 2, TINY)
    scores = np.empty((len(signals), examples))
    for row, model in enumerate(ratios):
        ordered = np.sort(model[examples:])
        scores[row] = np.searchsorted(ordered, model[:examples] / gamma, "right") / len(ordered)
    return scores


def _left_out(left: Floats, right: Floats, examples: int, a: float, gamma: float) -> Table:
    without = (right.sum(axis=0) - right) / (len(right) - 1)
    beside = without[np.arange(len(left)) % len(right)]
    return _scores(left, beside, examples, a, gamma), _scores(right, without, examples, a, gamma)


def _null(statistic: Statistic, out: Floats, targets: int, draws: int, seed: int) -> Null:
    numbers = np.random.default_rng(derive(seed, "null", "rmia"))
    values = np.empty(draws)
    for draw in range(draws):
        order = numbers.permutation(len(out))
        values[draw] = statistic.read(out[order[:targets]], out[order[targets:]])["auc"]
    return Null(values, (targets, len(out) - targets), 0.5)
