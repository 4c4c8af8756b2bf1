"""A model that a user's program gives to :func:`ungrok.api.sweep`: code that no recipe can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field
from torch import nn

from ungrok.core.entrance import check_model
from ungrok.core.errors import RecipeError
from ungrok.core.modules import bare, duplicate
from ungrok.core.schema import digest
from ungrok.models.base import MODELS, Model

_makers: dict[str, Callable[[], nn.Module]] = {}
"""How the models that this process was given are made, by their form."""


@MODELS.register
class GivenModel(Model):
    """The model that was given to ``ungrok.sweep``, which only the process of that call can make."""

    kind: Literal["given"] = "given"
    form: str = Field("", description="hash of layers and shapes; written by ungrok.sweep")

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:  # noqa: ARG002
        """Return a new model; its weights are fresh only where the user gave a function that makes it."""
        if self.form not in _makers:
            raise RecipeError(
                "model: was given to ungrok.sweep by another process; call that again: what is finished is not done again"
            )
        return _makers[self.form]()


def remember(model: nn.Module | Callable[[], nn.Module]) -> GivenModel:
    """Return the recipe's block for a model of the user's.

    Args:
        model: A model, or a function without arguments that returns a freshly initialized one.

    Raises:
        RecipeError: If it is neither.

    """
    one = model if isinstance(model, nn.Module) else model() if callable(model) else model
    check_model("model", one)
    own = duplicate(bare(one)).cpu()
    shapes = {name: [str(value.dtype), *value.shape] for name, value in own.state_dict().items()}
    block = GivenModel(form=digest([str(own), shapes]))
    _makers[block.form] = (lambda: duplicate(own)) if isinstance(model, nn.Module) else lambda: bare(model())
    return block
