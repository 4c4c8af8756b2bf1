"""Matched checkpoints: the step of a trajectory at which one nuisance is nearest to its value at another checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ungrok.train.trajectory import Trajectory
from ungrok.train.transition import Transition

if TYPE_CHECKING:
    import pandas as pd

Nuisance = Literal["test_accuracy", "validation_accuracy", "train_loss", "weight_norm", "updates"]
"""A quantity that two checkpoints should not differ in when they are compared."""

Part = Literal["any", "before", "after"]
"""Which steps are candidates, seen from the transition."""


@dataclass(frozen=True)
class Match:
    """The step nearest to a wanted value, and how near it is.

    Args:
        step: The nearest step, or None where there is none within the tolerance.
        reason: Why there is none.
        wanted: The nuisance at the checkpoint to be matched.
        reached: The nuisance at the nearest step; None where no step could be compared.
        mismatch: ``reached − wanted`` for an accuracy, ``reached / wanted − 1`` otherwise.

    """

    step: int | None
    reason: str
    wanted: float | None
    reached: float | None
    mismatch: float | None


def value_at(trajectory: Trajectory, step: int, on: Nuisance) -> float | None:
    """Return a metric at an evaluated step of a trajectory; None at any other step."""
    here = trajectory.metrics[trajectory.metrics["step"] == step]
    return None if here.empty or here[on].isna().any() else float(here[on].iloc[0])


def mismatch(reached: NDArray[np.float64] | float, wanted: float, on: str) -> NDArray[np.float64]:
    """Return the difference of accuracies, or the relative difference of any other nuisance; 0 where both are 0."""
    values = np.asarray(reached, dtype=np.float64)
    if on.endswith("accuracy"):
        return values - wanted
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values == wanted, 0.0, values / wanted - 1)


def match_step(
    metrics: pd.DataFrame,
    transition: Transition,
    wanted: float | None,
    on: Nuisance,
    tolerance: float,
    part: Part = "any",
    exclude: int | None = None,
) -> Match:
    """Return the step of a trajectory whose nuisance is nearest to ``wanted``, the earliest of equals.

    Steps are those at which training was evaluated; any step where updates are matched. Test accuracy is read only
    where it is the nuisance itself.

    Args:
        metrics: Of the trajectory that is searched; one row per evaluated step.
        transition: Of the same trajectory.
        wanted: Value to be matched; None where the other checkpoint was not evaluated.
        on: The nuisance.
        tolerance: Largest absolute ``mismatch`` that counts as equal.
        part: ``before``: up to the transition's onset; ``after``: from the grokked step on; ``any``.
        exclude: A step that is no candidate: that of the checkpoint itself, on its own trajectory.

    """
    if wanted is None or not math.isfinite(wanted):
        return Match(None, f"the checkpoint to be matched has no {on}", None, None, None)
    rows = metrics.assign(updates=metrics["step"].astype(float)).dropna(subset=[on])
    if on == "updates":
        import pandas as pd

        rows = pd.DataFrame(
            {"step": np.arange(metrics["step"].max() + 1), "updates": np.arange(metrics["step"].max() + 1.0)}
        )
    last, first = transition.onset, transition.grokked.step if transition.grokked else None
    if part == "before":
        rows = rows[rows["step"] <= (-1 if last is None else last)]
    if part == "after":
        rows = rows[rows["step"] >= (math.inf if first is None else first)]
    rows = rows[rows["step"] != exclude]
    if rows.empty:
        return Match(None, f"no step {part} the transition ({transition.status})", wanted, None, None)
    values = rows[on].to_numpy(dtype=float)
    off = mismatch(values, wanted, on)
    best = int(np.argmin(np.abs(off)))
    reached, remaining = float(values[best]), float(off[best])
    if abs(remaining) > tolerance:
        reason = f"the nearest {on} is off by {remaining:+.3g}, tolerance {tolerance:g}"
        return Match(None, reason, wanted, reached, remaining)
    return Match(int(rows["step"].iloc[best]), "", wanted, reached, remaining)
