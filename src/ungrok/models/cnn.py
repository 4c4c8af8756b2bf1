"""Small convolutional network."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.models.base import MODELS, Model


@MODELS.register
class CNN(Model):
    """3x3 convolutions with ReLU, then linear layers; no normalization, so that scale matters."""

    kind: Literal["cnn"] = "cnn"
    channels: tuple[int, ...] = Field((16, 32, 32), min_length=1, description="output channels per convolution")
    stride: int = Field(2, ge=1, description="stride of every convolution")
    hidden: tuple[int, ...] = Field((), description="widths of linear layers before the last")

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for images of ``shape`` (channels, height, width)."""
        if len(shape) != 3:
            raise RecipeError(f"model: kind 'cnn' takes images (channels, height, width), not inputs of shape {shape}")
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise((shape[0], *self.channels)):
            layers += [nn.Conv2d(fan_in, fan_out, 3, stride=self.stride, padding=1), nn.ReLU()]
        layers.append(nn.Flatten())
        features = nn.Sequential(*layers)(torch.zeros(1, *shape)).shape[1]
        for fan_in, fan_out in pairwise((features, *self.hidden, outputs)):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])
