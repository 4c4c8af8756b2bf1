"""A finished training run on disk, and the model at any step of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors
from ungrok.train.loop import Run
from ungrok.train.record import checkpoint_name
from ungrok.train.transition import Transition, TransitionRule, find_transition


class Trajectory:
    """The record that :meth:`ungrok.train.Run.record` left: metrics at evaluated steps and kept checkpoints.

    Args:
        folder: Where the checkpoints lie.
        result: What ``record`` returned.

    """

    def __init__(self, folder: Path, result: dict[str, Any]) -> None:
        import pandas as pd

        self.folder = folder
        self.status: str = result["status"]
        self.steps: int = result["steps"]
        self.checkpoints: list[int] = result["checkpoints"]
        self.metrics = pd.DataFrame(result["rows"])

    def transition(self, rule: TransitionRule) -> Transition:
        """Return the transition that a rule finds in the metrics."""
        return find_transition(self.metrics, rule, diverged=self.status == "diverged")

    def at_or_before(self, step: int) -> int:
        """Return the last kept step that is not after ``step``.

        Raises:
            RecipeError: If ``step`` lies outside the trajectory.

        """
        earlier = [kept for kept in self.checkpoints if kept <= step]
        if not earlier or step > self.steps:
            raise RecipeError(f"step: {step} is not on a trajectory of {self.steps} steps")
        return earlier[-1]


def materialize(run: Run, trajectory: Trajectory, step: int) -> Run:
    """Bring a fresh run of the same training to ``step``, from the nearest earlier checkpoint.

    The replay makes the same updates as the original, bit for bit on the same CPU type, versions and threads.

    Args:
        run: Built from the same model, data, training and seed as the trajectory.
        trajectory: Where to start from.
        step: Number of updates made.

    Raises:
        RecipeError: If ``step`` lies outside the trajectory.

    """
    start = trajectory.at_or_before(step)
    run.restore(load_tensors(trajectory.folder / checkpoint_name(start)))
    run.advance(step)
    return run
