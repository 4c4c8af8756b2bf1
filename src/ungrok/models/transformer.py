"""A small transformer on one-hot tokens, for modular arithmetic."""

from __future__ import annotations

from math import prod
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ungrok.core.errors import RecipeError
from ungrok.models.base import MODELS, Model


@MODELS.register
class Transformer(Model):
    """Transformer without normalization that reads tokens and answers at a last, learned one (Nanda et al. 2023, 2301.05217)."""

    kind: Literal["transformer"] = "transformer"
    tokens: int = Field(2, ge=1, description="tokens per input; their one-hot codes stand side by side")
    width: int = Field(128, ge=1, description="dimension of the residual stream")
    heads: int = Field(4, ge=1, description="attention heads per layer")
    layers: int = Field(1, ge=1, le=1000)
    hidden: int = Field(512, ge=1, description="units of each layer's ReLU network")

    @model_validator(mode="after")
    def _divisible(self) -> Transformer:
        if self.width % self.heads:
            raise ValueError(f"width: {self.width} is not a multiple of heads {self.heads}")
        return self

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for inputs of ``tokens`` one-hot codes side by side."""
        vocabulary, remainder = divmod(prod(shape), self.tokens)
        if len(shape) != 1 or remainder:
            raise RecipeError(f"model.tokens: inputs of shape {shape} do not hold {self.tokens} one-hot codes")
        return _Network(self, vocabulary, outputs)


class _Network(nn.Module):
    def __init__(self, settings: Transformer, vocabulary: int, outputs: int) -> None:
        super().__init__()
        self.tokens = settings.tokens
        scale = settings.width**-0.5
        self.embedding = nn.Parameter(torch.randn(vocabulary, settings.width) * scale)
        self.positions = nn.Parameter(torch.randn(settings.tokens + 1, settings.width) * scale)
        self.layers = nn.ModuleList(
            _Layer(settings.width, settings.heads, settings.hidden) for _ in range(settings.layers)
        )
        self.unembedding = nn.Linear(settings.width, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        codes = x.unflatten(1, (self.tokens, -1)) @ self.embedding
        # The last place holds no token, only its learned position.
        stream = nn.functional.pad(codes, (0, 0, 0, 1)) + self.positions
        for layer in self.layers:
            stream = layer(stream)
        return self.unembedding(stream[:, -1])  # type: ignore[no-any-return]


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.mix = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.mix(x).chunk(3, dim=2)
        )
        attended = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(x)  # type: ignore[no-any-return]
