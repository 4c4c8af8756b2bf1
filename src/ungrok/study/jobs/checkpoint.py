"""What jobs that keep one model have in common: a stage, a matched or rescaled checkpoint, a model after unlearning."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from ungrok.core.errors import UngrokError
from ungrok.core.files import save_tensors
from ungrok.core.weights import kept
from ungrok.study.job import Job, Result, Spec
from ungrok.study.jobs.trained import FinishedTraining, TrainSpec, again, trained_on
from ungrok.study.manifest import Finished
from ungrok.train import Run, Trajectory, materialize

WEIGHTS = "model.safetensors"


class CheckpointResult(Result):
    """Where the model stands on its trajectory.

    ``step`` is None where there is no such model, for the ``reason`` given; ``training`` is the spec of the trajectory.
    """

    step: int | None
    reason: str
    training: TrainSpec


class Checkpoint(Job[Spec, CheckpointResult]):
    """A job that keeps one model, or says why there is none."""

    spec_type: ClassVar[type[Spec]] = Spec
    result_type: ClassVar[type[CheckpointResult]] = CheckpointResult


def weights_of(source: Finished[Any, Any]) -> dict[str, Tensor]:
    """Return what was kept of a model, as :func:`ungrok.core.weights.whole` takes it."""
    return source.tensors(WEIGHTS)


def keep(model: nn.Module, folder: Path, training: TrainSpec) -> None:
    """Write a model's weights to a job's folder, with what they were trained on."""
    save_tensors(folder / WEIGHTS, kept(model), trained_on(training))


def keep_at(source: FinishedTraining, trajectory: Trajectory, step: int, folder: Path) -> Run:
    """Bring a fresh run of a finished training to a step, and keep its model.

    Raises:
        UngrokError: If a user's program made the training's checkpoints, and none at this step.

    """
    if source.spec.given and step not in trajectory.checkpoints:
        raise UngrokError(f"no checkpoint was given at step {step}")
    run = materialize(again(source), trajectory, step, weights_only=True)
    keep(run.model, folder, source.spec)
    return run
