"""Multi-layer perceptron."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from ungrok.models.base import MODELS, Model


@MODELS.register
class MLP(Model):
    """Fully connected ReLU network on flattened inputs."""

    optional: ClassVar[frozenset[str]] = frozenset({"norm"})

    kind: Literal["mlp"] = "mlp"
    width: int = Field(200, ge=1, description="units per hidden layer")
    depth: int = Field(3, ge=1, le=1000, description="number of linear layers")
    bias: bool = True
    norm: Literal["batch", "none"] = Field("none", description="batch normalization before every ReLU, or none")

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return flatten, then ``depth`` linear layers with ReLU between them."""
        sizes = [prod(shape), *[self.width] * (self.depth - 1), outputs]
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in pairwise(sizes):
            layers.append(nn.Linear(fan_in, fan_out, bias=self.bias))
            layers += [nn.BatchNorm1d(fan_out)] if self.norm == "batch" else []
            layers.append(nn.ReLU())
        end = -2 if self.norm == "batch" else -1
        return nn.Sequential(*layers[:end])
