"""A model that a user's program gives to :func:`ungrok.api.sweep`: code that no recipe can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ungrok.core.entrance import check_model, entering
from ungrok.core.errors import RecipeError
from ungrok.core.modules import bare, duplicate
from ungrok.core.objective import Batch, Objective
from ungrok.core.schema import digest
from ungrok.core.seeds import seeded
from ungrok.core.weights import content_of
from ungrok.models.base import MODELS, Model

_makers: dict[str, Callable[[], nn.Module]] = {}
"""How the models that this process was given are made, by their form."""


@MODELS.register
class GivenModel(Model):
    """The model that was given to ``ungrok.sweep``, which only the process of that call can make."""

    kind: Literal["given"] = "given"
    form: str = Field("", description="hash of layers, shapes and answers on a few examples; written by ungrok.sweep")

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:  # noqa: ARG002
        """Return a new model; its weights are fresh only where the user gave a function that makes it."""
        if self.form not in _makers:
            raise RecipeError(
                "model: was given to ungrok.sweep by another process; call that again: what is finished is not done again"
            )
        return _makers[self.form]()


def made(model: nn.Module | Callable[[], nn.Module]) -> nn.Module:
    """Return a model of the user's: a copy on the CPU of the one that was given, or of what a function without arguments returns.

    Raises:
        RecipeError: If it is neither a model nor such a function.

    """
    one = model if isinstance(model, nn.Module) else model() if callable(model) else model
    check_model("model", one)
    return duplicate(bare(one)).cpu()


def remember(model: nn.Module | Callable[[], nn.Module], answered: str) -> GivenModel:
    """Return the recipe's block for a model of the user's.

    Args:
        model: A model, or a function without arguments that returns a freshly initialized one.
        answered: What :func:`answers` returned for it: two models whose layers and shapes are the same may compute different things.

    Raises:
        RecipeError: If it is neither.

    """
    own = made(model)
    shapes = {name: [str(value.dtype), *value.shape] for name, value in own.state_dict().items()}
    block = GivenModel(form=digest([str(own), shapes, answered]))
    _makers[block.form] = (lambda: duplicate(own)) if isinstance(model, nn.Module) else lambda: bare(model())
    return block


def answers(model: nn.Module, objective: Objective, batch: Batch) -> str:
    """Return the SHA-256 of a model's logits on a batch, in eval mode and in train mode under a fixed seed, as hexadecimal digits.

    Args:
        model: With the weights of a checkpoint; not changed.
        objective: How a batch becomes logits.
        batch: Of the user's own data.

    """
    logits, one = {}, duplicate(model)
    with entering("model", "does not take the training examples"), torch.no_grad():
        for mode in ("eval", "train"):  # in this order, since running statistics move in train mode
            with seeded(0):
                logits[mode] = objective.logits(one.train(mode == "train"), batch)
    return content_of(logits).hex()
