"""Boundary shrinking: hand each forget example to the nearest other class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from ungrok.core.forms import inputs_of
from ungrok.core.objective import Batch
from ungrok.core.scores import evaluating
from ungrok.methods.base import UNLEARNERS, Family, Iterative
from ungrok.methods.material import Material, Role, length


def neighbor(inputs: Tensor, gradient: Tensor, epsilon: float, bounds: tuple[float, float] | None) -> Tensor:
    """Return ``x + ε·sign(g)``, the FGSM step, shape as ``inputs``.

    Args:
        inputs: x, shape (n, ...).
        gradient: g, the gradient of the loss by x.
        epsilon: ε, in units of the input.
        bounds: Range of the inputs, to which the result is clamped and in which it is rounded to 255 steps; None does neither.

    """
    moved = inputs + epsilon * gradient.sign()
    if bounds is None:
        return moved
    low, high = bounds
    return ((moved.clamp(low, high) - low) / (high - low) * 255).round() / 255 * (high - low) + low


@UNLEARNERS.register
class BoundaryShrink(Iterative):
    """Step each forget input across the nearest decision boundary of the original model and teach it the label found there.

    Formula: minimize ``L(f, y')`` with ``y' = argmax θ0(x + ε·sign ∇_x L(θ0; x, y))``, one FGSM step under the frozen original in
    eval mode.
    Paper: Chen et al. 2023 (arXiv 2303.11570).
    Public source: OPTML-Group/Unlearn-Saliency, ``boundary_sh``.
    Deviations: the source clamps the neighbor to [0, 1] and rounds it to 8 bits; ``bounds=(0, 1)`` does. By default the range of
    the inputs is not known and the neighbor is taken as it is.
    Defaults: ε 0.1 in units of the input and 10 epochs as in the source; lr 1e-5, as its users report (its command line has 0.01).
    Cost: one pass over the forget data per epoch, and a forward and backward pass of the original on it; none over retain.
    """

    family: ClassVar[Family] = "relabeling"
    inputs: ClassVar[tuple[str, ...]] = ("classifier",)
    needs: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[Role, ...]] = ("forget",)
    kind: Literal["boundary_shrink"] = "boundary_shrink"
    lr: float = Field(1e-5, gt=0, description="learning rate")
    epsilon: float = Field(0.1, gt=0, description="size of the FGSM step, in units of the input")
    bounds: tuple[float, float] | None = Field(
        None, description="range of the inputs, to which a neighbor is clamped and in which it is rounded to 255 steps"
    )
    default_epochs: ClassVar[int] = 10

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"{bounds}: the lower bound must lie below the upper")
        return bounds

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of forget batches."""
        return length(material.forget)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the loss on the neighbors' labels over the forget batches in order."""
        for batch in material.endless("forget"):
            yield material.mean_loss(material.objective.relabel(batch, self.neighbors(material, batch)))

    def neighbors(self, material: Material, batch: Batch) -> Tensor:
        """Return the original model's label for each example's FGSM neighbor, shape (n,)."""
        objective, original = material.objective, material.original
        inputs = inputs_of(batch, self.kind, moved=True).detach().clone().requires_grad_(True)
        with evaluating(original), torch.enable_grad():
            losses = objective.losses(objective.logits(original, (inputs, batch[1])), batch)
            (gradient,) = torch.autograd.grad(losses.sum(), inputs)
            with torch.no_grad():
                moved = neighbor(inputs, gradient, self.epsilon, self.bounds)
                return objective.predictions(objective.logits(original, (moved, batch[1])))
