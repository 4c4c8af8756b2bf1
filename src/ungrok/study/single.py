"""Unlearning from weights of one's own, and measuring them, with the settings of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors
from ungrok.evaluate.path import path_rows
from ungrok.study.jobs import NOTHING_TO_COMPARE, fresh_model, measure, walk
from ungrok.study.plan import Measurement, PathJobs, Plan
from ungrok.train.loop import model_state


def unlearn_file(plan: Plan, cell: PathJobs, file: Path) -> tuple[list[dict[str, Any]], nn.Module]:
    """Walk the path of a cell from the weights in a file instead of from a stage.

    Args:
        plan: The plan of the recipe.
        cell: Which seed, forget split and method.
        file: A safetensors file with the state dict of the recipe's model.

    Returns:
        One row per observed place, the start first, and the model at the end.

    Raises:
        RecipeError: If the file cannot be read, or does not hold the recipe's model.

    """
    training = plan.jobs[plan.trajectories[cell.arm, cell.seed]].spec
    tensors, record, end = walk(training, _weights(training, file, "--model"), plan.jobs[cell.path].spec)
    return path_rows(tensors, record, plan.recipe.claims.targets, None), end


def analyze_file(plan: Plan, look: Measurement, file: Path, reference: Path | None = None) -> list[dict[str, Any]]:
    """Measure the weights in a file as the model of a look would be.

    Args:
        plan: The plan of the recipe.
        look: Which seed, forget split and analysis.
        file: A safetensors file with the state dict of the recipe's model, or a checkpoint of a training run.
        reference: Another, to compare the first with, for measures that compare.

    Returns:
        One row per value and per null.

    Raises:
        RecipeError: If the file cannot be read, does not hold the recipe's model, or cannot be measured.

    """
    training = plan.jobs[plan.trajectories[look.arm, look.seed]].spec
    weights = {"model": _weights(training, file, "--model")}
    if reference is not None:
        weights["reference"] = _weights(training, reference, "--reference")
    found = measure(training, weights, plan.jobs[look.rows].spec)
    if found["reason"]:
        lacking = reference is None and found["reason"] == NOTHING_TO_COMPARE
        raise RecipeError(
            f"--model: {look.analysis}: {found['reason']}{'; name one with --reference' if lacking else ''}"
        )
    rows: list[dict[str, Any]] = found["rows"]
    return rows


def _weights(training: dict[str, Any], file: Path, option: str) -> dict[str, Tensor]:
    try:
        weights = load_tensors(file)
    except OSError as error:
        raise RecipeError(f"{option}: {str(file)!r} cannot be read as safetensors ({error})") from None
    if "step" in weights:  # a checkpoint of a training run, which holds the optimizer's state, too
        weights = model_state(weights)
    expected = {name: tuple(value.shape) for name, value in fresh_model(training, 0).state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    unknown, missing = sorted(found.keys() - expected.keys()), sorted(expected.keys() - found.keys())
    if unknown or missing:
        lacking = f"; it lacks {', '.join(missing[:3])}" if missing else ""
        other = f" has {', '.join(unknown[:3])}, which the recipe's model has not" if unknown else " is not whole"
        raise RecipeError(f"{option}: {str(file)!r}{other}{lacking}")
    for name in sorted(expected):
        if expected[name] != found[name]:
            shapes = f"{name} has shape {found[name]}; the recipe's model has {expected[name]}"
            raise RecipeError(f"{option}: {str(file)!r} does not hold the recipe's model: {shapes}")
    return weights
