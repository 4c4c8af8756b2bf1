"""Multi-layer perceptron."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Literal

from pydantic import Field
from torch import nn

from ungrok.models.base import MODELS, Model


@MODELS.register
class MLP(Model):
    """Fully connected ReLU network on flattened inputs."""

    kind: Literal["mlp"] = "mlp"
    width: int = Field(200, ge=1, description="units per hidden layer")
    depth: int = Field(3, ge=1, description="number of linear layers")
    bias: bool = True

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return flatten, then ``depth`` linear layers with ReLU between them."""
        sizes = [prod(shape), *[self.width] * (self.depth - 1), outputs]
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out, bias=self.bias), nn.ReLU()]
        return nn.Sequential(*layers[:-1])
