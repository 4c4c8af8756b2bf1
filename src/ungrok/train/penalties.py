"""Penalties on how a model's output moves with its input, added to the training loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ungrok.core.registry import Registry
from ungrok.core.schema import Schema

Forward = Callable[[Tensor], Tensor]
"""Inputs of shape (n, ...) to logits of shape (n, classes)."""


class Penalty(Schema):
    """A term added to the mean training loss; random draws come from PyTorch's global state."""

    kind: str
    weight: float = Field(gt=0, description="factor on the term")

    @abstractmethod
    def term(self, forward: Forward, inputs: Tensor, logits: Tensor) -> Tensor:
        """Return the term, a scalar.

        Args:
            forward: The model.
            inputs: The batch, a leaf that requires gradients.
            logits: ``forward(inputs)``, with its graph.

        """


PENALTIES: Registry[Penalty] = Registry("penalty", "ungrok.penalties", base=Penalty)


def _unit(shape: torch.Size, like: Tensor) -> Tensor:
    """Return directions uniform on the sphere, one per row."""
    draw = torch.randn(shape[0], shape[1:].numel(), dtype=like.dtype, device=like.device)
    return F.normalize(draw).view(shape)


@PENALTIES.register
class JacobianPenalty(Penalty):
    """``(λ/2)·mean ‖∂logits/∂input‖²_F``, estimated along random directions (Hoffman, Roberts & Yaida 2019, arXiv 1908.02729).

    For v uniform on the unit sphere of C classes, ``C·‖vᵀJ‖²`` is an unbiased estimate of ‖J‖²_F.
    """

    kind: Literal["jacobian"] = "jacobian"
    weight: float = Field(1e-3, gt=0, description="λ")
    projections: int = Field(1, ge=1, description="directions per update, one backward pass each")

    def term(self, forward: Forward, inputs: Tensor, logits: Tensor) -> Tensor:  # noqa: ARG002
        """Return the term; its gradient goes through a second backward pass."""
        total = torch.zeros((), dtype=logits.dtype, device=logits.device)
        for _ in range(self.projections):
            v = _unit(logits.shape, logits)
            (gradient,) = torch.autograd.grad((v * logits).sum(), inputs, create_graph=True)
            total = total + gradient.square().sum() / len(inputs)
        return self.weight / 2 * logits.shape[1] * total / self.projections


@PENALTIES.register
class SplinePenalty(Penalty):
    """``λ·mean ‖(f(x + h·u) − 2·f(x) + f(x − h·u)) / h²‖²`` with u uniform on the unit sphere of inputs.

    The smoothing spline's penalty on second derivatives (Reinsch 1967), by finite differences along random directions. It is
    zero where the model is affine within h of the data, so a model trained with it is locally flat by construction. Table 8 of
    arXiv 2512.03437 has a training called "spline" without giving a recipe; this is our definition of it. h is the radius of
    :class:`~ungrok.core.attacks.PGDL2`.
    """

    kind: Literal["spline"] = "spline"
    weight: float = Field(0.1, gt=0, description="λ")
    radius: float = Field(0.5, gt=0, description="h, in units of the model's input")

    def term(self, forward: Forward, inputs: Tensor, logits: Tensor) -> Tensor:
        """Return the term, from two more forward passes."""
        step = self.radius * _unit(inputs.shape, inputs)
        second = (forward(inputs + step) - 2 * logits + forward(inputs - step)) / self.radius**2
        return self.weight * second.square().sum() / len(inputs)
