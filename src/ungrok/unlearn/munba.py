"""MUNBA: unlearning as a bargain between forgetting and retaining."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.unlearn.base import UNLEARNERS, Iterative, Material, length


def nash_weights(retain: Tensor, forget: Tensor) -> tuple[float, float]:
    """Return the weights α of the Nash bargaining solution of two gradients, the solution of ``G·α = 1/α``.

    G is the Gram matrix of (g_r, g_f); for two players ``α_r = 1/(‖g_r‖·√(1 + ρ))`` and likewise for f, ρ their cosine. The
    bargain is thus the sum of the unit gradients over √(1 + ρ).

    Args:
        retain: g_r, shape (parameters,).
        forget: g_f, shape (parameters,).

    Returns:
        (α_r, α_f); a vanishing gradient gets weight 0, and opposite gradients (ρ = −1) leave nothing to agree on: (0, 0).

    """
    norms = [g.double().norm() for g in (retain, forget)]
    if min(norms) == 0:
        return (0.0 if norms[0] == 0 else float(1 / norms[0])), (0.0 if norms[1] == 0 else float(1 / norms[1]))
    cosine = (retain.double() @ forget.double()) / (norms[0] * norms[1])
    room = float((1 + cosine).clamp(min=0))
    if room < 1e-12:
        return 0.0, 0.0
    return float(1 / (norms[0] * room**0.5)), float(1 / (norms[1] * room**0.5))


@UNLEARNERS.register
class MUNBA(Iterative):
    """At each update weigh the retain and the forget gradient so that neither side could gain without the other losing more.

    Formula: ``θ ← θ − η·(α_r·g_r + α_f·g_f)`` with ``g_r = ∇L(r)``, ``g_f = −∇L(f)`` and α from :func:`nash_weights`.
    Paper: Wu & Harandi 2024, "MUNBA: Machine Unlearning via Nash Bargaining" (arXiv 2411.15537).
    Public source: JingWu321/MUNBA; not run here, restated from the paper.
    Deviations: the closed form for two players replaces the paper's solver; the loss reported is ``L(r) − L(f)``.
    Defaults: lr 0.01, 5 epochs, ours.
    Cost: one pass over the retain data and as many forget batches per epoch, two backward passes per update.

    Why it is here: its weights depend on the cosine of the forget and retain gradients only, the very quantity that the
    paper says grokking changes.
    """

    kind: Literal["munba"] = "munba"
    lr: float = Field(1e-2, gt=0, description="learning rate")

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of retain batches."""
        return length(material.retain)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield ``α_r·L(r) − α_f·L(f)``, the weights held constant, whose gradient is the bargain."""
        parameters = [p for p in material.model.parameters() if p.requires_grad]
        while True:
            for retain, forget in zip(material.batches("retain"), material.endless("forget"), strict=False):
                losses = material.mean_loss(retain), -material.mean_loss(forget)
                flat = []
                for loss in losses:
                    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
                    flat.append(
                        torch.cat(
                            [
                                torch.zeros_like(p).flatten() if g is None else g.flatten()
                                for g, p in zip(gradients, parameters, strict=True)
                            ]
                        )
                    )
                alpha_r, alpha_f = nash_weights(*flat)
                yield alpha_r * losses[0] + alpha_f * losses[1]
