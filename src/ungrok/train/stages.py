"""Stages: named places on a trajectory, chosen on validation data only."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from ungrok.core.errors import unknown
from ungrok.train.transition import Transition

if TYPE_CHECKING:
    import pandas as pd

STAGES = ("pre_grok", "memorized", "grokked", "final")


def stage_name(stage: str | int) -> str:
    """Return the name of a stage given as in a recipe: its name, or the integer N for ``step-N``."""
    return f"step-{stage}" if isinstance(stage, int) else stage


def check_stage(name: str, controls: Collection[str] = (), key: str = "stage") -> None:
    """Raise RecipeError that names ``key`` unless ``name`` is a known stage, ``step-N``, or a control of the recipe."""
    if name not in (*STAGES, *controls) and not re.fullmatch(r"step-\d+", name):
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
    if stage.startswith("step-"):
        step = int(stage[5:])
        return (step, "") if step <= last else (None, f"the trajectory ends at step {last}")
    if stage == "memorized":
        return (transition.memorized.step, "") if transition.memorized else (None, transition.status)
    if transition.status not in ("grokked", "collapsed"):
        return None, transition.status
    if stage == "grokked":
        return transition.grokked.step if transition.grokked else None, ""
    early = metrics[metrics["step"] <= transition.onset]
    return int(early["step"].iloc[int(np.nanargmax(early["validation_accuracy"].to_numpy(dtype=float)))]), ""
