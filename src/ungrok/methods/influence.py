"""Influence unlearning with the WoodFisher inverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.gradients import flat, gradient
from ungrok.core.objective import Batch
from ungrok.methods.base import UNLEARNERS, OneShot, Strengths
from ungrok.methods.material import Material


def inverse_product(gradients: Tensor, vector: Tensor, damping: float) -> Tensor:
    """Return ``(λ·I + G·Gᵀ/m)⁻¹·v`` for m gradients, without forming the matrix.

    This is what the rank-1 recursion of Singh & Alistarh (2020, arXiv 2004.14340, eq. 8) gives after m gradients from
    ``F₀⁻¹ = I/λ``, by the Woodbury identity: ``(v − G·(m·λ·I + GᵀG)⁻¹·Gᵀv)/λ``.

    Args:
        gradients: G as rows, shape (m, parameters).
        vector: v, shape (parameters,).
        damping: λ > 0.

    """
    m = len(gradients)
    gram = (gradients @ gradients.T).double()
    inner = torch.linalg.solve(
        gram + m * damping * torch.eye(m, dtype=gram.dtype, device=gram.device), (gradients @ vector).double()
    )
    product: Tensor = (vector - gradients.T @ inner.to(vector.dtype)) / damping
    return product


def removal(forget: Tensor, n_forget: int, retain: Tensor, n_retain: int) -> Tensor:
    """Return ``v = Σ_f g/N − n_f/(N·n_r)·Σ_r g``, what the mean loss gradient loses with the forget data, N = n_f + n_r.

    Args:
        forget: Sum of the forget examples' loss gradients, shape (parameters,).
        n_forget: n_f, their number.
        retain: Sum of the retain examples' loss gradients, shape (parameters,).
        n_retain: n_r, their number.

    """
    total = n_forget + n_retain
    return forget / total - (n_forget / (total * n_retain)) * retain


@UNLEARNERS.register
class Influence(OneShot):
    """Take the one Newton-like step that removing the forget data would cause, curvature from the retain set.

    Formula: ``θ ← θ0 + α·H⁻¹·v`` with ``v = Σ_f g/N − n_f/(N·n_r)·Σ_r g``, g an example's loss gradient, N = n_f + n_r, and H the
    WoodFisher estimate from the mean gradients of the first ``batches`` retain batches.
    Paper: Izzo et al. 2021 (arXiv 2002.10077); Singh & Alistarh 2020 (2004.14340) for the inverse.
    Public source: OPTML-Group/Unlearn-Sparse, ``Wfisher``, is no reference: its vector stays collinear with the first gradient g₁, so
    that it returns v − c·g₁.
    Deviations: the inverse is applied in closed form, see :func:`inverse_product`. All gradients are taken in eval mode.
    Defaults: α 1, 2, 5, 10, 20 (the sources search 1 to 20), λ 1 as the source's starting matrix, 256 batches.
    Cost: one pass over the forget data, two over the retain data; memory of ``batches`` gradients.
    """

    kind: Literal["influence"] = "influence"
    alpha: Strengths = Field((1.0, 2.0, 5.0, 10.0, 20.0), description="step sizes, no unit")
    damping: float = Field(1.0, gt=0, description="λ, in units of squared gradient")
    batches: int = Field(256, ge=1, description="retain batches whose gradients enter the curvature")

    def doses(self) -> tuple[float, ...]:
        """Return the step sizes, increasing."""
        return tuple(sorted(self.alpha))

    def prepare(self, material: Material) -> Callable[[float], None]:
        """Compute the direction of the step."""
        parameters = self.trainable(material.model)
        forget, n_forget, _ = self._gradients(material, "forget", 0)
        retain, n_retain, rows = self._gradients(material, "retain", self.batches)
        direction = inverse_product(torch.stack(rows), removal(forget, n_forget, retain, n_retain), self.damping)
        start = [p.detach().clone() for p in parameters]
        steps = direction.split([p.numel() for p in parameters])

        def move(alpha: float) -> None:
            for parameter, value, step in zip(parameters, start, steps, strict=True):
                parameter.copy_(value + alpha * step.view(value.shape))

        return move

    def _gradients(
        self, material: Material, name: Literal["forget", "retain"], keep: int
    ) -> tuple[Tensor, int, list[Tensor]]:
        """Return the sum of example gradients, their number, and the mean gradients of the first ``keep`` batches."""
        total: Tensor | None = None
        count = 0
        rows: list[Tensor] = []
        for batch in material.batches(name):
            mean, size = self._gradient(material, batch), material.objective.size(batch)
            total = mean * size if total is None else total + mean * size
            count += size
            if len(rows) < keep:
                rows.append(mean)
        assert total is not None
        return total, count, rows

    def _gradient(self, material: Material, batch: Batch) -> Tensor:
        return flat(gradient(material.mean_loss(batch), self.trainable(material.model)))
