"""Which weights stress tests change, and how they are written back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

TRANSPOSED = ("Conv1D", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
"""Modules whose weight has its output channels along the second dimension, by class name; the first is the one of GPT-2."""

ADAPTER = "lora_"
"""Stands in the names of the weights of low-rank adapters."""


def merge(model: nn.Module) -> None:
    """Add the low-rank adapters of a model of peft to the weights beside which they stand; other models stay as they are.

    An attack on weights is one on those that the model computes with.
    """
    merging = _merging(model)
    if merging is not None:
        merging()


def _merging(model: nn.Module) -> Callable[[], None] | None:
    method: Any = getattr(model, "merge_adapter", None)
    return method if callable(method) else None


def tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights and biases that a model computes with, frozen ones too, each once, by name.

    Those of adapters that :func:`merge` has added to others are left out.
    """
    named = {name: p for name, p in model.named_parameters() if p.is_floating_point() and p.numel()}
    if _merging(model) is None:
        return named
    return {name: p for name, p in named.items() if ADAPTER not in name}


def matrices(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return those of two dimensions or more: neither biases nor the factors of a normalization."""
    return {name: p for name, p in tensors(model).items() if p.ndim > 1}


def channel(model: nn.Module, name: str) -> int:
    """Return the dimension of a weight along which its output channels lie."""
    owner = model.get_submodule(name.rpartition(".")[0])
    return 1 if type(owner).__name__ in TRANSPOSED else 0


def values(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of tensors, by name."""
    return {name: value.detach().clone() for name, value in parameters.items()}


@torch.no_grad()
def write(parameters: Mapping[str, Tensor], content: Mapping[str, Tensor]) -> None:
    """Give tensors other values, rounded to their own types."""
    for name, value in content.items():
        parameters[name].copy_(value)
