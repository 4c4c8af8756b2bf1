"""Whether a study's models, paths and plan fit into this machine, estimated before any of them is made."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import torch
from torch import nn

from ungrok.core.errors import RecipeError, UngrokError, first_line, shown
from ungrok.core.memory import check_fits
from ungrok.core.schema import Schema
from ungrok.data.base import Data
from ungrok.methods import Iterative
from ungrok.models.base import Model
from ungrok.models.language import Pretrained
from ungrok.models.outside import Outside
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE
from ungrok.train import Training
from ungrok.train.grokfast import GrokfastMA
from ungrok.train.optimizers import SGD

MOST_STEPS = 1_000_000
"""Steps of one trajectory that are evaluated or kept, and places of one path."""
MOST_PATHS = 100_000
"""Unlearning paths of one study."""


def check_counts(recipe: Recipe) -> None:
    """Raise RecipeError where a recipe asks for more paths, or for more evaluated or kept steps, than can be planned."""
    places = sum(len(recipe.stages_of(arm)) for arm in (BASE, *recipe.arms))
    searched = [*recipe.search.settings.values()].count("lr") if recipe.search else 0
    most = recipe.search.most if recipe.search else 1
    methods = len(recipe.unlearn) + searched * (most - 1)
    copies = recipe.forget_draws * recipe.unlearn_seeds
    copies_and_phases = copies * methods + (recipe.requests - 1) * len(recipe.unlearn)
    paths = len(recipe.seeds) * places * len(recipe.forget) * copies_and_phases
    if paths > MOST_PATHS:
        rates = f", {searched} of them at up to {most} rates," if searched else ""
        rates += f", each {copies} times," if copies > 1 else ""
        rates += f" for {recipe.requests} requests in sequence" if recipe.requests > 1 else ""
        raise RecipeError(
            f"seeds: {len(recipe.seeds)}, times {places} stages of all arms, {len(recipe.forget)} forget splits and {len(recipe.unlearn)} "
            f"methods{rates} make {paths:,} paths; allowed: at most {MOST_PATHS:,}"
        )
    for arm in (BASE, *recipe.arms):
        training = recipe.for_arm(arm)[2]
        if training.evaluate_steps:
            counts = {"evaluate_steps": training.steps / training.evaluate_steps}
        else:
            counts = {"evaluate_every": _grid(training.steps, training.evaluate_every)}
        counts["checkpoint_every"] = _grid(training.steps, training.checkpoint_every)
        for key, count in counts.items():
            if count > MOST_STEPS:
                raise RecipeError(
                    f"trajectory.{key}: {shown(getattr(training, key))} makes {count:.3g} of {training.steps} steps; "
                    f"allowed: at most {MOST_STEPS:,}; raise it"
                )


def _grid(last: int, spacing: float) -> float:
    """Return about how many steps :func:`ungrok.train.loop.log_grid` gives, without making them."""
    even = min(last, 1 / spacing)  # up to here the gap is one step
    return even + math.log(max(1.0, last / even)) / math.log1p(spacing)


def weight_bytes(model: Model, shape: tuple[int, ...], outputs: int) -> int | None:
    """Return the bytes of a model's weights without making them.

    None where another package makes the model, or it cannot be made; the largest number where one tensor is too large for PyTorch.

    Args:
        model: A model of a recipe.
        shape: Shape of one input.
        outputs: Number of logits.

    """
    if isinstance(model, Outside | Pretrained):
        return None
    try:
        with torch.device("meta"):
            network = model.module(shape, outputs)
    except Exception as error:  # what else is wrong is said where the model is made
        return sys.maxsize if "overflow" in str(error) else None
    return sum(t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers()))


def check_model(model: Model, training: Training, shape: tuple[int, ...], outputs: int) -> None:
    """Raise RecipeError where training a model needs more memory than this machine has.

    What counts is one copy of the weights each for the model, its gradients, what the optimizer keeps, what Grokfast keeps and
    SAM; activations do not.
    """
    weights = weight_bytes(model, shape, outputs)
    if weights is None:
        return
    window = training.grokfast.window + 2 if isinstance(training.grokfast, GrokfastMA) else 0
    copies = 2 + (1 if isinstance(training.optimizer, SGD) else 2) + bool(training.grokfast) + bool(training.sam)
    check_fits(weights * copies, _sizes(model), "weights, gradients and the optimizer's state")
    check_fits(weights * (copies + window), "trajectory.grokfast.window", "the gradients that Grokfast keeps")


def _sizes(model: Model) -> str:
    """Return the keys of a model that hold whole numbers above 1: they make it as large as it is."""
    return ", ".join(_counts(model, "model")) or "model"


def _counts(block: Schema, prefix: str) -> Iterator[str]:
    for name in type(block).model_fields:
        value = getattr(block, name)
        if isinstance(value, Schema):
            yield from _counts(value, f"{prefix}.{name}")
        elif name != "alpha" and all(
            isinstance(n, int) and n > 1 for n in (value if isinstance(value, tuple) else (value,))
        ):
            yield f"{prefix}.{name}"


def built(model: Model, training: Training, data: Data) -> nn.Module:
    """Return a model for the shapes of some data.

    Raises:
        UngrokError: If it does not fit into memory, or cannot be made.

    """
    check_model(model, training, data.shape, data.outputs)
    try:
        return model.build(data.shape, data.outputs, 0)
    except UngrokError:
        raise
    except (Exception, SystemExit) as error:  # of PyTorch, or of a user's own function
        raise RecipeError(
            f"model: kind {model.kind!r} cannot be made for inputs of shape {data.shape} ({first_line(error)})"
        ) from error


def check_paths(recipe: Recipe, data: Data, weights: int) -> None:
    """Raise RecipeError where an unlearning path has more observed places than can be planned, or than memory can hold.

    Args:
        recipe: The recipe.
        data: Are scored at every observed place.
        weights: Bytes of the model's weights, which the search for a place that lasts keeps of every observed place.

    """
    rule, examples = recipe.observe, len(data.train) + len(data.validation) + len(data.test)
    per_place = examples * data.score_bytes
    per_epoch = math.ceil(len(data.train) / min(recipe.batches.forget, recipe.batches.retain))
    for number, method in enumerate(recipe.unlearn):
        if not isinstance(method, Iterative):
            continue
        total = method.updates or per_epoch * (method.epochs or method.default_epochs)
        places = min(total, rule.every_until + _grid(total, rule.spacing))
        key = f"observe.spacing, or unlearn.{number} ({shown(method.label)})"
        if places > MOST_STEPS:
            raise RecipeError(
                f"{key}: {total:,} updates give {places:.3g} observed places; allowed: at most {MOST_STEPS:,}; "
                "observe fewer of them, or make fewer updates"
            )
        check_fits(per_place * places, f"{key}, or observe.every_until", f"the scores at {places:,.0f} observed places")
        if recipe.lasting and method.label in (recipe.lasting.methods or [method.label]):
            what = f"the weights at {places:,.0f} observed places"
            check_fits(weights * places, f"{key} among lasting.methods, or observe.every_until", what)
