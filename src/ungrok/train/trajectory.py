"""A finished training run on disk, and the model at any step of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ungrok.core.errors import DamagedFile, RecipeError
from ungrok.core.files import load_tensors
from ungrok.train.loop import Run
from ungrok.train.record import can_restart, checkpoint_name, load_weights
from ungrok.train.transition import Transition, TransitionRule, find_transition


class Trajectory:
    """The record that :meth:`ungrok.train.Run.record` left: metrics at evaluated steps and checkpoints.

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

    def at_or_before(self, step: int, *, restart: bool = True) -> int:
        """Return the last step not after ``step`` whose checkpoint is there.

        Args:
            step: Number of updates made.
            restart: Whether the checkpoint must hold the whole state of the training, from which a replay can start.

        Raises:
            RecipeError: If ``step`` lies outside the trajectory.
            DamagedFile: If there is no such checkpoint.

        """
        if not 0 <= step <= self.steps:
            raise RecipeError(f"step: {step} is not on a trajectory of {self.steps} steps")
        for kept in reversed([kept for kept in self.checkpoints if kept <= step]):
            path = self.folder / checkpoint_name(kept)
            if path.is_file() and (not restart or can_restart(path)):
                return kept
        raise DamagedFile(f"{self.folder / checkpoint_name(0)}: missing")


def materialize(run: Run, trajectory: Trajectory, step: int, *, weights_only: bool = False) -> Run:
    """Bring a fresh run of the same training to ``step``, from the nearest earlier checkpoint.

    The replay makes the same updates as the original, bit for bit on the same CPU type, versions and threads.

    Args:
        run: Built from the same model, data, training and seed as the trajectory.
        trajectory: Where to start from.
        step: Number of updates made.
        weights_only: That no update will be made from there: where weights of the step are on disk, nothing is replayed.

    Raises:
        RecipeError: If ``step`` lies outside the trajectory.
        DamagedFile: If no checkpoint is left to start from.

    """
    if weights_only and trajectory.at_or_before(step, restart=False) == step:
        load_weights(run, load_tensors(trajectory.folder / checkpoint_name(step)))
    else:
        run.restore(load_tensors(trajectory.folder / checkpoint_name(trajectory.at_or_before(step))))
    run.advance(step)
    return run
