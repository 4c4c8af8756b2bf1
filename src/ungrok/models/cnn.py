"""Small convolutional network."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from ungrok.models.base import MODELS, Model, image_channels

Stride = Annotated[int, Field(ge=1)]


@MODELS.register
class CNN(Model):
    """3x3 convolutions with ReLU, then linear layers; no normalization, so that scale matters.

    Five convolutions and two linear layers, as in the CNN of arXiv 2512.03437, which gives no widths:
    ``channels: [32, 32, 64, 64, 128], stride: [1, 2, 1, 2, 2], hidden: [256]``, 666,538 parameters on CIFAR-10.
    """

    kind: Literal["cnn"] = "cnn"
    channels: tuple[int, ...] = Field((16, 32, 32), min_length=1, description="output channels per convolution")
    stride: Stride | tuple[Stride, ...] = Field(2, description="stride of every convolution, or one for each")
    hidden: tuple[int, ...] = Field((), description="widths of linear layers before the last")

    @model_validator(mode="after")
    def _one_for_each(self) -> CNN:
        if len(self._strides()) != len(self.channels):
            raise ValueError(f"stride: {len(self._strides())} given for {len(self.channels)} convolutions")
        return self

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for images of ``shape`` (channels, height, width)."""
        layers: list[nn.Module] = []
        sizes = pairwise((image_channels(shape, self.kind), *self.channels))
        for (fan_in, fan_out), stride in zip(sizes, self._strides(), strict=True):
            layers += [nn.Conv2d(fan_in, fan_out, 3, stride=stride, padding=1), nn.ReLU()]
        layers.append(nn.Flatten())
        features = nn.Sequential(*layers)(torch.zeros(1, *shape)).shape[1]
        for fan_in, fan_out in pairwise((features, *self.hidden, outputs)):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    def _strides(self) -> tuple[int, ...]:
        return (self.stride,) * len(self.channels) if isinstance(self.stride, int) else self.stride
