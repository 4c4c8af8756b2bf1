"""Unlearning and measuring weights that the user brings, with the settings of a recipe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ungrok.core.errors import RecipeError, first_line, shown, shown_file
from ungrok.core.files import read_json, save_tensors
from ungrok.core.weight_files import PICKLED, SAFE, fitting, read_weights, state_in
from ungrok.evaluate.path import path_rows
from ungrok.study.jobs import Analyze, Train, Unlearn
from ungrok.study.jobs.analyze import NOTHING_TO_COMPARE, measure
from ungrok.study.jobs.paths import Sources
from ungrok.study.jobs.trained import TrainSpec, fresh_model, split_of, trained_on
from ungrok.study.jobs.unlearn import walk
from ungrok.study.plan import Plan
from ungrok.study.plan_measurements import Measurement
from ungrok.study.plan_paths import PathJobs
from ungrok.train.record import model_state


def unlearn_file(
    plan: Plan, path: PathJobs, file: Path, forget: Path | None = None, *, vouched: bool = False
) -> tuple[list[dict[str, Any]], nn.Module]:
    """Walk a path from the weights in a file instead of from a stage.

    Args:
        plan: The plan of the recipe.
        path: Says which seed, forget split and method.
        file: A safetensors file with the state dict of the recipe's model.
        forget: A file of what is to be forgotten, instead of the forget split; see :func:`read_indices`.
        vouched: Whether the caller vouches that the weights were trained on the recipe's training split.

    Returns:
        One row per observed place, the start first, and the model at the end.

    Raises:
        RecipeError: If a file cannot be read, does not hold the recipe's model, or does not say that it was trained on the
            recipe's training split and nobody else says so.

    """
    training = _training(plan, path.arm, path.seed)
    weights, split = _weights(training, file, "--model"), None
    if forget is not None:
        examples = training.data()
        split = split_of(read_indices(forget, len(examples.train)), examples)
        examples.check_forget(split.forget, str(forget))
    elif not vouched:
        _check_data(training, file, ", or name a file of the indices to forget with --forget FILE")
    walked = walk(training, weights, plan.job(path.path, Unlearn).spec, sources=Sources(split=split))
    rows = path_rows(walked.tensors, walked.record.to_dict(), plan.recipe.claims.targets, None)
    return rows, walked.end


def knows_data(training: TrainSpec, file: Path) -> bool:
    """Return whether a file of weights says that they were trained on all training examples of a training.

    This package writes that into every file of weights; a checkpoint of a training says it in the job beside it.

    Raises:
        RecipeError: If the file cannot be read.

    """
    wanted = trained_on(training)
    if file.suffix in PICKLED:
        return False
    try:
        with safe_open(file, "pt") as tensors:
            if (tensors.metadata() or {}).items() >= wanted.items():
                return True
        job = read_json(file.parent / "job.json") if (file.parent / "job.json").is_file() else {}
        return job.get("kind") == Train.kind and trained_on(TrainSpec.model_validate(job["spec"])) == wanted
    except (OSError, SafetensorError) as error:
        raise RecipeError(f"--model: {shown_file(file)} cannot be read as safetensors ({first_line(error)})") from None


def _check_data(training: TrainSpec, file: Path, otherwise: str = "") -> None:
    if not knows_data(training, file):
        raise RecipeError(
            f"--model: {shown_file(file)} does not say that it was trained on this recipe's training split; say so with --trained-on-split"
            f"{otherwise}"
        )


def read_indices(file: Path, examples: int) -> list[int]:
    """Return what a file says is to be forgotten: a JSON list, or whole numbers between spaces, commas or line breaks.

    Args:
        file: Holds indices into the training split, counted from 0.
        examples: Number of examples of the training split.

    Raises:
        RecipeError: If it holds anything else, an index twice, or nothing; if nothing would be left to retain.

    """
    name, text = _text(file)
    words = text.strip("[] \n\r\t").replace(",", " ").split()
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) < 20 and int(word) < examples):
            raise RecipeError(f"{name}: {shown(word)} is no training example; allowed: 0 to {examples - 1}")
    indices = sorted({int(word) for word in words})
    if len(indices) < len(words):
        raise RecipeError(f"{name}: names {len(words)} examples, of which {len(indices)} differ")
    return _some(indices, examples, name)


def read_keys(file: Path, keys: Any, examples: int) -> list[int]:
    """Return the indices of the examples whose keys a file names, one key a line.

    Args:
        file: Every line is a key; empty lines and spaces around keys do not count.
        keys: One for each training example; several examples may have the same, those of one person for instance.
        examples: Number of training examples.

    Raises:
        RecipeError: If keys and examples are not as many, a line is no key, nothing is named, or nothing would be left to retain.

    """
    if not isinstance(keys, Iterable):
        kind = type(keys).__name__
        raise RecipeError(f"--data: 'keys' is a {kind}; allowed: a text or whole number for each example of 'train'")
    own = [str(key).strip() for key in (keys.tolist() if isinstance(keys, Tensor) else keys)]
    if len(own) != examples:
        raise RecipeError(f"--data: 'keys' holds {len(own)} for {examples} examples of 'train'; allowed: one each")
    name, text = _text(file)
    wanted = {line.strip() for line in text.splitlines()} - {""}
    for key in sorted(wanted - {*own}):
        raise RecipeError(f"{name}: {shown(key)} is the key of no training example")
    return _some([number for number, key in enumerate(own) if key in wanted], examples, name)


def _text(file: Path) -> tuple[str, str]:
    """Return how messages name a file of what is to be forgotten, and its text."""
    name = f"--forget: {shown_file(file)}"
    try:
        return name, file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RecipeError(f"{name} cannot be read as text ({first_line(error)})") from None


def _some(indices: list[int], examples: int, name: str) -> list[int]:
    """Return indices of training examples, which must be some but not all."""
    if not 0 < len(indices) < examples:
        raise RecipeError(f"{name}: names {len(indices)} of {examples} training examples; allowed: 1 to {examples - 1}")
    return indices


def save(plan: Plan, path: PathJobs, model: nn.Module, file: Path) -> None:
    """Write the weights at the end of a path, with what they were trained on."""
    save_tensors(file, dict(model.state_dict()), trained_on(_training(plan, path.arm, path.seed)))


def analyze_file(
    plan: Plan, measurement: Measurement, file: Path, reference: Path | None = None, *, vouched: bool = False
) -> list[dict[str, Any]]:
    """Measure the weights in a file as the model of a measurement would be.

    Args:
        plan: The plan of the recipe.
        measurement: Says which seed, forget split and analysis.
        file: A safetensors file with the state dict of the recipe's model, or a checkpoint of a training run.
        reference: Another file of that kind, for measures that compare two models.
        vouched: Whether the caller vouches that the weights in ``file`` were trained on the recipe's training split.

    Returns:
        One row per value and per null.

    Raises:
        RecipeError: If the file cannot be read, does not hold the recipe's model, or cannot be measured; if it does not say that
            it was trained on the recipe's training split and nobody else says so.

    """
    training = _training(plan, measurement.arm, measurement.seed)
    weights = {"model": _weights(training, file, "--model")}
    if not vouched:
        _check_data(training, file)
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
    """Return the weights in a file as a whole state dict of a training's model."""
    content, fresh = read_weights(file, option), fresh_model(training, 0)
    if (
        file.suffix == SAFE and "step" in content
    ):  # a checkpoint of a training run, which holds the optimizer's state, too
        content = model_state(dict(content))
    where = f"{option}: {shown_file(file)}"
    return fitting(fresh, state_in(content, {*fresh.state_dict()}, where), where, "the recipe's model")
