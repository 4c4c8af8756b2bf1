"""What every model of a recipe has: a kind, an initial scale, and a seeded build."""

from __future__ import annotations

from abc import abstractmethod

import torch
from pydantic import Field
from torch import nn
from torch.nn.parameter import is_lazy

from ungrok.core.errors import RecipeError
from ungrok.core.registry import Registry
from ungrok.core.schema import Schema
from ungrok.core.seeds import seeded


class Model(Schema):
    """A model factory."""

    kind: str
    init_scale: float = Field(
        1.0,
        gt=0,
        description="factor on every initial parameter; large values delay generalisation (Liu et al. 2023, 2210.01117)",
    )

    @abstractmethod
    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for inputs of ``shape`` (without the batch), PyTorch's default initialization."""

    def build(self, shape: tuple[int, ...], outputs: int, seed: int) -> nn.Module:
        """Return the initialized network on the CPU; the caller's random state is untouched.

        Args:
            shape: Shape of one input.
            outputs: Number of logits.
            seed: Seed of the initial weights.

        """
        with seeded(seed):
            network = self.module(shape, outputs)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if is_lazy(parameter):
                    raise RecipeError(
                        f"model: {name} of kind {self.kind!r} has no size yet; allowed: layers that are not lazy"
                    )
                parameter.mul_(self.init_scale)
        return network


def image_channels(shape: tuple[int, ...], kind: str) -> int:
    """Return the number of channels of one image.

    Raises:
        RecipeError: If ``shape`` is not (channels, height, width).

    """
    if len(shape) != 3:
        raise RecipeError(f"model: kind {kind!r} takes images (channels, height, width), not inputs of shape {shape}")
    return shape[0]


MODELS: Registry[Model] = Registry("model", "ungrok.models", ("ungrok.models", "MODELS.register"), Model)
