"""Planted truths: whether a measure may speak at this number of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ungrok.audits.calibrated import Calibrated, Interval

Name = Literal["retrain", "half", "identity"]

CANNOT_TELL = "cannot tell at this N"
MAY_SPEAK = "may speak"

EXPECTED: dict[Name, str] = {
    "retrain": "its interval reaches down to the null",
    "half": "between the other two",
    "identity": "its interval lies above the null",
}


@dataclass(frozen=True)
class Truth:
    """What a measure said of a planted truth.

    Args:
        name: ``retrain``: models that never saw the forget set; ``half``: half of it unlearned; ``identity``: nothing unlearned.
        value: The judged summary.
        excess: Its distance from no difference.
        interval: 95 % interval of that distance.
        null: The null's 95 % quantile of that distance.
        holds: Whether it is as :data:`EXPECTED` says.

    """

    name: Name
    value: float
    excess: float
    interval: Interval
    null: float
    holds: bool


@dataclass(frozen=True)
class Planted:
    """What a measure said of all three.

    Args:
        truths: ``retrain``, ``half``, ``identity``.

    """

    truths: tuple[Truth, ...]

    @property
    def speaks(self) -> bool:
        """Whether all three hold, so that the measure may be believed at this number of models."""
        return all(truth.holds for truth in self.truths)

    @property
    def words(self) -> str:
        """``may speak`` or ``cannot tell at this N``."""
        return MAY_SPEAK if self.speaks else CANNOT_TELL


def planted(
    measure: Callable[[ArrayLike, ArrayLike], Calibrated],
    oracle: ArrayLike,
    *,
    retrain: ArrayLike,
    identity: ArrayLike,
    half: ArrayLike,
) -> Planted:
    """Ask a measure about three things that are known.

    Args:
        measure: From signals under test and signals of oracles to an outcome, for instance :func:`ungrok.audits.klom.klom`.
        oracle: Signals of models that never saw the forget set, shape (models, examples).
        retrain: Those of other models that never saw it.
        identity: Those of models that held it, nothing unlearned.
        half: Those of models after half of it was unlearned; in the columns of that half, ``retrain`` will do, and ``identity`` in the others.

    Raises:
        RecipeError: If the measure does.

    """
    asked: dict[Name, ArrayLike] = {"retrain": retrain, "half": half, "identity": identity}
    # Halves of both sets of retrained models are as large as the sides of each truth, and the null of some measures falls with their size.
    null = measure(retrain, np.concatenate([np.asarray(oracle), np.asarray(retrain)])).null
    outcomes = {name: replace(measure(signals, oracle), null=null) for name, signals in asked.items()}
    excess = {name: outcome.excess for name, outcome in outcomes.items()}
    holds = {
        "retrain": outcomes["retrain"].excess_interval.low <= outcomes["retrain"].null.upper,
        "half": excess["retrain"] < excess["half"] < excess["identity"],
        "identity": outcomes["identity"].excess_interval.low > outcomes["identity"].null.upper,
    }
    return Planted(
        tuple(
            Truth(name, outcome.value, excess[name], outcome.excess_interval, outcome.null.upper, holds[name])
            for name, outcome in outcomes.items()
        )
    )
