"""Entanglement: how far the features of a forget set are mixed with those that are retained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ungrok.audits.calibrated import (
    DRAWS,
    Floats,
    Interval,
    Null,
    interval_around,
    jackknife,
    signals_of,
    without_groups,
)
from ungrok.core.errors import RecipeError
from ungrok.core.seeds import derive


@dataclass(frozen=True)
class Entanglement:
    """The outcome.

    Args:
        value: Variance within both sets over the squared distance of their means; infinite where the means are equal.
        interval: 95 % interval over examples, by leaving out groups of both sets.
        null: The values of random splits of all examples into sets of these sizes. A forget set that is drawn at random lies among them; one
            that is far from the rest lies below.

    """

    value: float
    interval: Interval
    null: Null


def entanglement(retain: ArrayLike, forget: ArrayLike, *, draws: int = DRAWS, seed: int = 0) -> Entanglement:
    """Return ``(mean ‖r − μ_r‖² + mean ‖f − μ_f‖²) / ‖μ_r − μ_f‖²`` of features.

    The entanglement score of RUM (Zhao et al., arXiv 2406.01257) divides by half the squared distances of the two means from that of
    all examples instead; which forget set is the more entangled is the same for sets of one size.

    Args:
        retain: Features of retained examples, shape (examples, features), at least 4 examples.
        forget: Those of the forget set.
        draws: Of the null.
        seed: Of the null.

    Raises:
        RecipeError: If shapes do not fit.

    """
    kept, gone = signals_of("retain", retain), signals_of("forget", forget)
    if kept.shape[1] != gone.shape[1]:
        raise RecipeError(f"forget: {gone.shape[1]} features differ from the {kept.shape[1]} of retain")
    numbers = np.random.default_rng(derive(seed, "null", "entanglement"))
    everything, values = np.concatenate([kept, gone]), np.empty(draws)
    for draw in range(draws):
        order = numbers.permutation(len(everything))
        values[draw] = _entangled(everything[order[: len(kept)]], everything[order[len(kept) :]])
    value = _entangled(kept, gone)

    groups = without_groups(len(kept), len(gone))
    without = [_entangled(kept[left[: len(kept)]], gone[left[len(kept) :]]) for left in groups]
    error = jackknife([{"value": one} for one in without])["value"] if np.isfinite([value, *without]).all() else np.inf
    interval = interval_around(value, error, len(groups) - 1, len(everything), (0, np.inf))
    return Entanglement(value, interval, Null(values, (len(kept), len(gone)), float(values.mean())))


def _entangled(retain: Floats, forget: Floats) -> float:
    within = sum(float(side.var(axis=0).sum()) for side in (retain, forget))
    apart = float(((retain.mean(axis=0) - forget.mean(axis=0)) ** 2).sum())
    return within / apart if apart > 0 else np.inf
