"""Unlearning and measuring weights that the user brings, with the settings of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors
from ungrok.core.weights import whole
from ungrok.evaluate.path import path_rows
from ungrok.study.jobs import Analyze, Train, Unlearn
from ungrok.study.jobs.analyze import NOTHING_TO_COMPARE, measure
from ungrok.study.jobs.trained import TrainSpec, fresh_model
from ungrok.study.jobs.unlearn import walk
from ungrok.study.plan import Measurement, PathJobs, Plan
from ungrok.train.loop import model_state


def unlearn_file(plan: Plan, path: PathJobs, file: Path) -> tuple[list[dict[str, Any]], nn.Module]:
    """Walk a path from the weights in a file instead of from a stage.

    Args:
        plan: The plan of the recipe.
        path: Says which seed, forget split and method.
        file: A safetensors file with the state dict of the recipe's model.

    Returns:
        One row per observed place, the start first, and the model at the end.

    Raises:
        RecipeError: If the file cannot be read, or does not hold the recipe's model.

    """
    training = _training(plan, path.arm, path.seed)
    walked = walk(training, _weights(training, file, "--model"), plan.job(path.path, Unlearn).spec)
    rows = path_rows(walked.tensors, walked.record.to_dict(), plan.recipe.claims.targets, None)
    return rows, walked.end


def analyze_file(
    plan: Plan, measurement: Measurement, file: Path, reference: Path | None = None
) -> list[dict[str, Any]]:
    """Measure the weights in a file as the model of a measurement would be.

    Args:
        plan: The plan of the recipe.
        measurement: Says which seed, forget split and analysis.
        file: A safetensors file with the state dict of the recipe's model, or a checkpoint of a training run.
        reference: Another file of that kind, for measures that compare two models.

    Returns:
        One row per value and per null.

    Raises:
        RecipeError: If the file cannot be read, does not hold the recipe's model, or cannot be measured.

    """
    training = _training(plan, measurement.arm, measurement.seed)
    weights = {"model": _weights(training, file, "--model")}
    if reference is not None:
        weights["reference"] = _weights(training, reference, "--reference")
    result = measure(training, weights, plan.job(measurement.rows, Analyze).spec)
    if result.reason:
        lacking = reference is None and result.reason == NOTHING_TO_COMPARE
        raise RecipeError(
            f"--model: {measurement.analysis}: {result.reason}{'; name one with --reference' if lacking else ''}"
        )
    return result.rows


def _training(plan: Plan, arm: str, seed: int) -> TrainSpec:
    return plan.job(plan.trajectories[arm, seed], Train).spec


def _weights(training: TrainSpec, file: Path, option: str) -> dict[str, Tensor]:
    try:
        weights = load_tensors(file)
    except OSError as error:
        raise RecipeError(f"{option}: {str(file)!r} cannot be read as safetensors ({error})") from None
    if "step" in weights:  # a checkpoint of a training run, which holds the optimizer's state, too
        weights = model_state(weights)
    fresh = fresh_model(training, 0)
    try:
        weights = whole(fresh, weights)
    except RecipeError as error:
        raise RecipeError(f"{option}: {str(file)!r}: {error}") from None
    expected = {name: tuple(value.shape) for name, value in fresh.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in weights.items()}
    unknown, missing = sorted(given.keys() - expected.keys()), sorted(expected.keys() - given.keys())
    if unknown or missing:
        lacking = f"; it lacks {', '.join(missing[:3])}" if missing else ""
        other = f" has {', '.join(unknown[:3])}, which the recipe's model does not have" if unknown else " is not whole"
        raise RecipeError(f"{option}: {str(file)!r}{other}{lacking}")
    for name in sorted(expected):
        if expected[name] != given[name]:
            shapes = f"{name} has shape {given[name]}; the recipe's model has {expected[name]}"
            raise RecipeError(f"{option}: {str(file)!r} does not hold the recipe's model: {shapes}")
    return weights
