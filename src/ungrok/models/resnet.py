"""Residual networks, after and before activation, with a choice of stem and normalization."""

from __future__ import annotations

from math import gcd
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from ungrok.models.base import MODELS, Model, image_channels

Norm = Literal["batch", "group", "none"]

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


def normalization(kind: Norm, channels: int) -> nn.Module:
    """Return batch normalization, group normalization in up to 32 groups, or nothing."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(gcd(32, channels), channels) if kind == "group" else nn.Identity()


def _conv(fan_in: int, fan_out: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, size, stride, size // 2, bias=False)


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2015)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _conv(fan_in, fan_out, 3, stride),
            normalization(norm, fan_out),
            nn.ReLU(),
            _conv(fan_out, fan_out, 3),
            normalization(norm, fan_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or fan_in != fan_out:
            self.shortcut = nn.Sequential(_conv(fan_in, fan_out, 1, stride), normalization(norm, fan_out))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.residual(x) + self.shortcut(x))
        return out


class _PreBlock(nn.Module):
    """The same with normalization and ReLU before each convolution (He et al. 2016)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.before = nn.Sequential(normalization(norm, fan_in), nn.ReLU())
        self.residual = nn.Sequential(
            _conv(fan_in, fan_out, 3, stride), normalization(norm, fan_out), nn.ReLU(), _conv(fan_out, fan_out, 3)
        )
        self.shortcut = _conv(fan_in, fan_out, 1, stride) if stride != 1 or fan_in != fan_out else None

    def forward(self, x: Tensor) -> Tensor:
        ready = self.before(x)
        out: Tensor = self.residual(ready) + (x if self.shortcut is None else self.shortcut(ready))
        return out


@MODELS.register
class ResNet(Model):
    """Residual network of basic blocks, 18 or 34 layers; width, stem, normalization and pre-activation by choice.

    He et al. 2015 (arXiv 1512.03385), with ``preactivation`` He et al. 2016 (arXiv 1603.05027). Convolutions have no
    bias. The model in which Humayun et al. 2024 (arXiv 2402.15555) see delayed robustness on CIFAR-10 is ``width: 16,
    norm: none, preactivation: true``; as in its public file (github.com/AhmedImtiazPrio/grok-adversarial, models.py),
    nothing stands between the last block and the pooling, and the only bias is that of the linear layer.
    """

    kind: Literal["resnet"] = "resnet"
    depth: Literal[18, 34] = 18
    width: int = Field(64, ge=1, description="channels of the first stage; each later stage has twice as many")
    norm: Norm = Field("batch", description="batch, group (up to 32 groups) or none")
    stem: Literal["cifar", "imagenet"] = Field(
        "cifar", description="3x3 convolution, or 7x7 of stride 2 with max pooling of stride 2"
    )
    preactivation: bool = Field(False, description="normalization and ReLU before each convolution")

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for images of ``shape`` (channels, height, width)."""
        layers = self._stem(image_channels(shape, self.kind))
        block, fan_in = _PreBlock if self.preactivation else _Block, self.width
        for stage, count in enumerate(BLOCKS[self.depth]):
            for place in range(count):
                stride = 2 if stage > 0 and place == 0 else 1
                layers.append(block(fan_in, self.width * 2**stage, stride, self.norm))
                fan_in = self.width * 2**stage
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, outputs))

    def _stem(self, channels: int) -> list[nn.Module]:
        small = self.stem == "cifar"
        layers: list[nn.Module] = [_conv(channels, self.width, 3) if small else _conv(channels, self.width, 7, 2)]
        if not self.preactivation:
            layers += [normalization(self.norm, self.width), nn.ReLU()]
        return layers if small else [*layers, nn.MaxPool2d(3, 2, 1)]
