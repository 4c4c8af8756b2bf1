"""Where delayed generalisation happens on a trajectory.

Only training and validation accuracy are read, and robust accuracy on validation examples; test accuracy never is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ungrok.core.errors import RecipeError
from ungrok.core.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

TransitionStatus = Literal["not_memorized", "memorized_only", "no_delay", "grokked", "collapsed", "diverged"]


class TransitionRule(Schema):
    """Thresholds that define memorizing and grokking.

    The signal is validation accuracy, or robust accuracy under the first attack of ``trajectory.robustness``: on CIFAR without
    weight decay it is robustness that is delayed (Humayun et al. 2024, arXiv 2402.15555).
    """

    optional: ClassVar[frozenset[str]] = frozenset({"signal"})

    memorized: float = Field(0.99, gt=0, le=1, description="training accuracy that counts as memorized")
    signal: Literal["validation", "adversarial"] = Field("validation", description="accuracy whose jump is grokking")
    grokked: float = Field(0.9, gt=0, le=1, description="accuracy of the signal that counts as grokked")
    relative: bool = Field(False, description="read `grokked` as a share of the signal's highest value")
    sustained: int = Field(3, ge=1, description="evaluations in a row that must hold the level")
    min_delay: float = Field(1.2, ge=1, description="least ratio of grokked to memorized step that counts as delay")
    collapse: float = Field(0.1, gt=0, lt=1, description="sustained fall below the level that counts as collapse")


@dataclass(frozen=True)
class Crossing:
    """An evaluated step at which a level is first held; the exact step lies in the interval (after, step]."""

    step: int
    after: int


@dataclass(frozen=True)
class Transition:
    """The transition of one trajectory.

    Args:
        status: ``not_memorized``: training accuracy never reaches its level. ``memorized_only``: the signal never holds its
            level. ``no_delay``: it does, but before ``min_delay`` times the memorized step. ``grokked``: it does, then or
            later. ``collapsed``: the same, and it fell again. ``diverged``: training ended in non-finite numbers.
        memorized: First step at which training accuracy reaches its level.
        grokked: First step from which the signal holds its level for ``sustained`` evaluations.
        level: The level of the signal, absolute.
        delay: Ratio of the two steps.
        change_point: Step that best splits the signal over log-steps into two constant parts.
        change_point_r2: Share of the variance that this split explains, in [0, 1].
        onset: Last evaluated step before the jump: there the signal has gone at most a tenth of the way from its value at the
            memorized step (or at the last evaluated step before the grokked one, if that is earlier) to its highest value.

    """

    status: TransitionStatus
    memorized: Crossing | None
    grokked: Crossing | None
    level: float | None
    delay: float | None
    change_point: float | None
    change_point_r2: float | None
    onset: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


def change_point(steps: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Fit a two-level step function over log-steps by weighted least squares.

    Each evaluation weighs as much as the stretch of log-steps around it, so a denser grid does not pull the split.

    Args:
        steps: Increasing, positive, shape (n,).
        values: Shape (n,).

    Returns:
        The geometric middle of the gap in which the level changes, and R² of the fit; None for fewer than three steps
        or constant values.

    """
    if len(steps) < 3 or np.ptp(values) == 0:
        return None
    x = np.log(steps)
    weights = np.gradient(x)
    w, wy = np.cumsum(weights), np.cumsum(weights * values)
    total = float((weights * (values - wy[-1] / w[-1]) ** 2).sum())
    between = wy[:-1] ** 2 / w[:-1] + (wy[-1] - wy[:-1]) ** 2 / (w[-1] - w[:-1]) - wy[-1] ** 2 / w[-1]
    best = int(np.argmax(between))
    return float(np.exp((x[best] + x[best + 1]) / 2)), float(np.clip(between[best] / total, 0, 1))


def first_held(steps: NDArray[np.int64], holds: NDArray[np.bool_], times: int) -> Crossing | None:
    """Return the first step that starts ``times`` true values in a row."""
    if len(holds) < times:
        return None
    runs = np.lib.stride_tricks.sliding_window_view(holds, times).all(axis=1)
    if not runs.any():
        return None
    first = int(runs.argmax())
    return Crossing(int(steps[first]), int(steps[first - 1]) if first else 0)


def _onset(steps: NDArray[np.int64], signal: NDArray[np.float64], memorized: int, grokked: int) -> int:
    """Return the last evaluated step at which the jump has not begun."""
    before = signal[steps < grokked]
    start = min(memorized, int(steps[steps < grokked][-1])) if len(before) else 0
    low, high = float(signal[steps == start][0]) if len(before) else 0.0, float(signal.max())
    quiet = before <= low + 0.1 * (high - low)
    return int(steps[: len(before)][quiet][-1]) if quiet.any() else int(steps[0])


def _signal_column(metrics: pd.DataFrame, rule: TransitionRule) -> str:
    if rule.signal == "validation":
        return "validation_accuracy"
    attacked = [name for name in map(str, metrics) if name.startswith("adversarial_")]
    if not attacked:
        raise RecipeError("transition.signal: 'adversarial' needs trajectory.robustness, which was not measured")
    return attacked[0]


def find_transition(metrics: pd.DataFrame, rule: TransitionRule, *, diverged: bool = False) -> Transition:
    """Locate memorization and grokking on the metrics of a trajectory.

    Args:
        metrics: Columns ``step``, ``train_accuracy``, and that of the signal, one row per evaluated step.
        rule: The thresholds.
        diverged: Whether training ended in non-finite numbers.

    Raises:
        RecipeError: If the signal was not measured.

    """
    columns = ["train_accuracy", _signal_column(metrics, rule)]
    rows = metrics.dropna(subset=columns)
    steps = rows["step"].to_numpy(dtype=np.int64)
    train, signal = (rows[name].to_numpy(dtype=np.float64) for name in columns)
    level = rule.grokked * (float(signal.max()) if rule.relative and len(rows) else 1.0)
    memorized = first_held(steps, train >= rule.memorized, 1)
    grokked = first_held(steps, signal >= level, rule.sustained)
    positive = steps > 0
    change = change_point(steps[positive].astype(float), signal[positive])
    onset = _onset(steps, signal, memorized.step, grokked.step) if memorized and grokked else None
    fallen = (
        first_held(steps[steps > grokked.step], signal[steps > grokked.step] < level - rule.collapse, rule.sustained)
        if grokked
        else None
    )
    status: TransitionStatus
    if diverged:
        status = "diverged"
    elif memorized is None:
        status = "not_memorized"
    elif grokked is None:
        status = "memorized_only"
    elif grokked.step < rule.min_delay * max(1, memorized.step):
        status = "no_delay"
    elif fallen:
        status = "collapsed"
    else:
        status = "grokked"
    delay = grokked.step / max(1, memorized.step) if memorized and grokked else None
    at, r2 = change or (None, None)
    return Transition(status, memorized, grokked, level, delay, at, r2, onset)
