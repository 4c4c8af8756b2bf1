"""Sharpness-aware minimization: the gradient is taken where the loss nearby is highest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ungrok.core.schema import Schema


class SAM(Schema):
    """Sharpness-aware minimization (Foret et al. 2021, arXiv 2010.01412) around any optimizer.

    Each update takes the gradient of the same batch twice: at θ, and at ``θ + ρ·g/‖g‖`` with g the first; the optimizer then
    updates θ with the second. Batch normalization counts the first pass only.
    """

    rho: float = Field(0.05, gt=0, description="Euclidean length of the ascent, over all parameters together")

    @torch.no_grad()
    def climb(self, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        """Move the parameters up their gradients; return the weights from before, for :func:`come_back`."""
        moved = [p for p in parameters if p.grad is not None]
        before = [p.detach().clone() for p in parameters]
        gradients: list[Tensor] = [p.grad for p in moved]  # type: ignore[misc]
        norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
        for parameter, gradient in zip(moved, gradients, strict=True):
            parameter.add_(gradient * (self.rho / (norm + 1e-12)))
        return before


@torch.no_grad()
def come_back(parameters: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    """Put the weights back, exactly."""
    for parameter, value in zip(parameters, before, strict=True):
        parameter.copy_(value)


@contextmanager
def still_statistics(model: nn.Module) -> Iterator[None]:
    """Let batch normalization use the batch's statistics without remembering them."""
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
