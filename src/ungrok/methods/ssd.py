"""Selective synaptic dampening."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.gradients import squared_gradients
from ungrok.methods.base import UNLEARNERS, OneShot, Strengths
from ungrok.methods.material import Material


def dampen(weight: Tensor, forget: Tensor, data: Tensor, alpha: float, lam: float) -> Tensor:
    """Return ``θ·min(λ·F_D/F_f, 1)`` where ``F_f > α·F_D``, and θ elsewhere.

    Args:
        weight: A parameter.
        forget: Its importance on the forget data, F_f ≥ 0, same shape.
        data: Its importance on all training data, F_D ≥ 0.
        alpha: Selection threshold.
        lam: Dampening constant λ.

    """
    factor = (lam * data / forget.clamp(min=torch.finfo(forget.dtype).tiny)).clamp(max=1)
    return torch.where(forget > alpha * data, weight * factor, weight)


@UNLEARNERS.register
class SSD(OneShot):
    """Shrink the weights that matter far more to the forget set than to the whole training set; no training.

    Formula: :func:`dampen` with importances ``F = mean over examples of (∂L/∂θ)²``, F_D over retain and forget together.
    Paper: Foster et al. 2024 (arXiv 2308.07707).
    Public source: if-loops/selective-synaptic-dampening, ``ssd.ParameterPerturber`` (model in eval mode).
    Deviations: the source squares the gradient of a batch's mean, so that its importance depends on the batch size; here it is
    per example, which is the source's at batch size 1.
    Defaults: α 10, λ 1, as in the source (ResNet-18). The dose is 1/α: a lower threshold dampens more.
    Cost: one pass over the forget data and one over the retain data, per-example gradients.
    """

    kind: Literal["ssd"] = "ssd"
    alpha: Strengths = Field((10.0,), description="selection thresholds, no unit")
    lam: float = Field(1.0, gt=0, description="dampening constant λ, no unit")
    chunk: int = Field(64, ge=1, description="examples that are differentiated at once")

    def doses(self) -> tuple[float, ...]:
        """Return 1/α, increasing."""
        return tuple(sorted(1 / alpha for alpha in self.alpha))

    def prepare(self, material: Material) -> Callable[[float], None]:
        """Compute both importances."""
        model, objective = material.model, material.objective
        forget, n_forget = squared_gradients(model, material.batches("forget"), objective, self.chunk)
        retain, n_retain = squared_gradients(model, material.batches("retain"), objective, self.chunk)
        data = {n: (forget[n] * n_forget + retain[n] * n_retain) / (n_forget + n_retain) for n in forget}
        start = {n: p.detach().clone() for n, p in model.named_parameters() if n in forget}

        def move(dose: float) -> None:
            for name, weight in start.items():
                model.get_parameter(name).copy_(dampen(weight, forget[name], data[name], 1 / dose, self.lam))

        return move
