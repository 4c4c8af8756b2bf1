"""VGG networks for small images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.models.base import MODELS, Model, image_channels
from ungrok.models.resnet import Norm, normalization

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions per stage (Simonyan & Zisserman 2015, table 1); width doubles from stage to stage up to eightfold."""


@MODELS.register
class VGG(Model):
    """3x3 convolutions in five stages, each closed by max pooling, then one linear layer.

    Simonyan & Zisserman 2015 (arXiv 1409.1556), with one linear layer in place of three, as is usual for CIFAR.
    """

    kind: Literal["vgg"] = "vgg"
    depth: Literal[11, 13, 16, 19] = 16
    width: int = Field(64, ge=1, description="channels of the first stage")
    norm: Norm = Field("batch", description="batch, group (up to 32 groups) or none")

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for images of ``shape`` (channels, height, width)."""
        fan_in, layers = image_channels(shape, self.kind), list[nn.Module]()
        if min(shape[1:]) < 32:
            raise RecipeError(f"model: kind 'vgg' halves images five times; {shape[1]}x{shape[2]} is less than 32x32")
        for stage, count in enumerate(CONVOLUTIONS[self.depth]):
            for _ in range(count):
                fan_out = self.width * 2 ** min(stage, 3)
                layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), normalization(self.norm, fan_out), nn.ReLU()]
                fan_in = fan_out
            layers.append(nn.MaxPool2d(2))
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, outputs))
