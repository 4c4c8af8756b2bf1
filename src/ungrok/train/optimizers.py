"""Optimizers of the training runs, and learning-rate schedules without state."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.registry import Registry
from ungrok.core.schema import Schema


class Optimizer(Schema):
    """An optimizer and its schedule; the learning rate is a function of the step alone."""

    kind: str
    lr: float = Field(1e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(0.0, ge=0, description="decoupled for AdamW, added to the gradient for Adam and SGD")
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = Field(0, ge=0, description="updates of linear warm-up from 0")

    @abstractmethod
    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the PyTorch optimizer over ``parameters``."""

    def lr_at(self, step: int, steps: int) -> float:
        """Return the learning rate of the update that follows ``step`` updates, of ``steps`` in all.

        Linear warm-up, then constant, or ``lr · (1 + cos(π·t))/2`` with t from 0 to 1 over the remaining updates.
        """
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.lr
        progress = (step - self.warmup) / max(1, steps - self.warmup)
        return self.lr * (1 + math.cos(math.pi * progress)) / 2


OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", "ungrok.optimizers", base=Optimizer)


class _Adam(Optimizer):
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)


@OPTIMIZERS.register
class AdamW(_Adam):
    """AdamW (Loshchilov & Hutter 2019), the fused implementation."""

    kind: Literal["adamw"] = "adamw"

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return ``torch.optim.AdamW(fused=True)``."""
        return torch.optim.AdamW(
            parameters, self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=True
        )


@OPTIMIZERS.register
class Adam(_Adam):
    """Adam (Kingma & Ba 2015) with L2 decay, the fused implementation: Grokfast's published settings are for this one."""

    kind: Literal["adam"] = "adam"

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return ``torch.optim.Adam(fused=True)``."""
        return torch.optim.Adam(
            parameters, self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=True
        )


@OPTIMIZERS.register
class SGD(Optimizer):
    """SGD with momentum; the paper's vision preset is lr 0.1, momentum 0.9, weight decay 5e-4, cosine."""

    kind: Literal["sgd"] = "sgd"
    lr: float = Field(0.1, gt=0, description="peak learning rate")
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return ``torch.optim.SGD``."""
        return torch.optim.SGD(
            parameters, self.lr, momentum=self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov
        )


def orthogonalize(gradient: Tensor, weight: Tensor) -> Tensor:
    """Remove from a gradient its component along the weights and keep its norm.

    ``g⊥ = g − (⟨w, g⟩ / ⟨w, w⟩) w``, rescaled to ``‖g‖`` (Prieto et al. 2025, arXiv 2501.04697), per parameter tensor.
    """
    w, g = weight.flatten(), gradient.flatten()
    orthogonal = g - (w @ g) / (w @ w + 1e-30) * w
    if len(g) == 1:  # nothing is orthogonal to a single weight; rescaling would blow up the rounding error
        return torch.zeros_like(gradient)
    kept: Tensor = (orthogonal * (g.norm() / (orthogonal.norm() + 1e-30))).view_as(gradient)
    return kept


class OrthogonalAdamW(torch.optim.AdamW):
    """AdamW whose gradients pass through :func:`orthogonalize` first."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one update."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.copy_(orthogonalize(parameter.grad, parameter))
        return super().step(closure)


@OPTIMIZERS.register
class OrthogradAdamW(_Adam):
    """AdamW on the part of the gradient that is orthogonal to the weights ("⊥Grad", arXiv 2501.04697)."""

    kind: Literal["orthograd_adamw"] = "orthograd_adamw"

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return :class:`OrthogonalAdamW`."""
        return OrthogonalAdamW(
            parameters, self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=True
        )
