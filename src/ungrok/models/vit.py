"""Vision transformer."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.errors import RecipeError
from ungrok.models.base import MODELS, Model, image_channels


class _Attention(nn.Module):
    """Multi-head self-attention, written out: fused kernels have neither second derivatives nor per-example Jacobians."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, dim = x.shape
        split = self.queries_keys_values(x).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = split.unbind(0)
        weights = (queries @ keys.transpose(2, 3) * queries.shape[3] ** -0.5).softmax(dim=3)
        out: Tensor = self.project((weights @ values).transpose(1, 2).reshape(n, tokens, dim))
        return out


class _EncoderLayer(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attend = nn.Sequential(nn.LayerNorm(dim), _Attention(dim, heads))
        self.think = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(x)
        out: Tensor = x + self.think(x)
        return out


class _Tokens(nn.Module):
    """Patches as tokens, a class token before them, positions added."""

    def __init__(self, channels: int, patch: int, dim: int, count: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, dim, patch, patch)
        self.first = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, count + 1, dim) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        return torch.cat([self.first.expand(len(x), -1, -1), patches], dim=1) + self.positions


class _First(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


@MODELS.register
class ViT(Model):
    """Vision transformer: patches, a class token, learned positions, normalization before each layer, no dropout.

    Dosovitskiy et al. 2021 (arXiv 2010.11929). ``patch: 16, dim: 192, depth: 12, heads: 3, hidden: 768`` is ViT-Ti/16.
    """

    kind: Literal["vit"] = "vit"
    patch: int = Field(4, ge=1, description="pixels a side of a patch; divides height and width")
    dim: int = Field(192, ge=1, description="width of a token")
    depth: int = Field(6, ge=1, le=1000, description="number of layers")
    heads: int = Field(3, ge=1, description="attention heads; divides dim")
    hidden: int = Field(384, ge=1, description="hidden units of each layer's two linear layers")

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for images of ``shape`` (channels, height, width)."""
        channels = image_channels(shape, self.kind)
        if any(side % self.patch for side in shape[1:]):
            raise RecipeError(f"model.patch: {self.patch} does not divide {shape[1]}x{shape[2]} pixels")
        if self.dim % self.heads:
            raise RecipeError(f"model.heads: {self.heads} does not divide dim, {self.dim}")
        count = (shape[1] // self.patch) * (shape[2] // self.patch)
        layers = [_EncoderLayer(self.dim, self.heads, self.hidden) for _ in range(self.depth)]
        tokens = _Tokens(channels, self.patch, self.dim, count)
        return nn.Sequential(tokens, *layers, nn.LayerNorm(self.dim), _First(), nn.Linear(self.dim, outputs))
