"""Stages: named places on a trajectory, chosen on validation data only."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

import numpy as np

from ungrok.core.errors import unknown
from ungrok.train.transition import Crossing, Transition, first_held

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

STAGES = ("pre_grok", "memorized", "grokked", "final")

Signal = Literal["train_accuracy", "validation_accuracy", "train_loss", "validation_loss"]
"""What a stage by level is read from."""


def stage_name(stage: str | int) -> str:
    """Return the name of a stage given as in a recipe: its name, or the integer N for ``step-N``."""
    return f"step-{stage}" if isinstance(stage, int) else stage


def step_of(name: str) -> int | None:
    """Return N for the stage ``step-N``, and None for every other name."""
    number = re.fullmatch(r"step-(\d+)", name)
    return int(number[1]) if number else None


def check_stage(name: str, controls: Collection[str] = (), key: str = "stage") -> None:
    """Raise RecipeError that names ``key`` unless ``name`` is a known stage, ``step-N``, or one of the recipe's controls."""
    if name not in (*STAGES, *controls) and step_of(name) is None:
        raise unknown(key, name, [*STAGES, "step-N", *controls])


def stage_step(stage: str, metrics: pd.DataFrame, transition: Transition) -> tuple[int | None, str]:
    """Return the step of a stage, or None and the reason why the trajectory has no such stage.

    - ``pre_grok``: what early stopping on validation accuracy would have kept before the jump: the evaluated step with
      the highest validation accuracy up to the transition's onset (the earliest of equals).
    - ``memorized``: the first step at which training accuracy reaches its level.
    - ``grokked``: the first step from which the transition's signal holds its level.
    - ``final``: the last step; a diverged run has none.
    - ``step-N``: step N.
    """
    last = int(metrics["step"].iloc[-1])
    if stage == "final":
        return (None, "training diverged") if transition.status == "diverged" else (last, "")
    step = step_of(stage)
    if step is not None:
        return (step, "") if step <= last else (None, f"the trajectory ends at step {last}")
    if stage == "memorized":
        return (transition.memorized.step, "") if transition.memorized else (None, transition.status)
    if transition.status not in ("grokked", "collapsed"):
        return None, transition.status
    if stage == "grokked":
        return transition.grokked.step if transition.grokked else None, ""
    early = metrics[metrics["step"] <= transition.onset]
    return int(early["step"].iloc[int(np.nanargmax(early["validation_accuracy"].to_numpy(dtype=float)))]), ""


def at_level(values: NDArray[np.float64], of: Signal, at: float) -> NDArray[np.bool_]:
    """Return where a signal has reached a level: at or above it for an accuracy, at or below it for a loss."""
    return values >= at if of.endswith("accuracy") else values <= at


def level_crossing(metrics: pd.DataFrame, of: Signal, at: float, times: int = 1) -> tuple[Crossing | None, str]:
    """Return the first evaluated step from which a signal holds a level, or None and the reason why there is none.

    Args:
        metrics: Of a trajectory, one row per evaluated step; steps at which the signal is missing do not count.
        of: The signal.
        at: The level: an accuracy in [0, 1], or a loss in nats (squared error where that is what is trained).
        times: Evaluations in a row, the first among them, that must hold the level.

    """
    rows = metrics.dropna(subset=[of])
    values = rows[of].to_numpy(dtype=np.float64)
    crossing = first_held(rows["step"].to_numpy(dtype=np.int64), at_level(values, of, at), times)
    if crossing:
        return crossing, ""
    if not len(values):
        return None, f"{of} was never finite"
    best, name = (values.max(), "highest") if of.endswith("accuracy") else (values.min(), "lowest")
    held = "" if times == 1 else f" in {times} evaluations in a row"
    return None, f"{of} did not reach {at:g}{held} ({name}: {best:.3g})"
