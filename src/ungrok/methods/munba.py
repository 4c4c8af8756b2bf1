"""MUNBA: unlearning as a bargain between forgetting and retaining."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.gradients import flat, gradient
from ungrok.core.objective import Batch
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material, length
from ungrok.methods.random_label import random_labels
from ungrok.methods.retaining import Retaining


def nash_weights(retain: Tensor, forget: Tensor) -> tuple[float, float]:
    """Return the weights α of the Nash bargaining solution of two gradients, the solution of ``G·α = 1/α``.

    G is the Gram matrix of (g_r, g_f); for two players ``α_r = 1/(‖g_r‖·√(1 + ρ))`` and likewise for f, ρ their cosine. The
    bargain is thus the sum of the unit gradients over √(1 + ρ), and its norm is √2 whatever they are.

    Args:
        retain: g_r, shape (parameters,).
        forget: g_f, shape (parameters,).

    Returns:
        (α_r, α_f), or (1, 0.1) as in the source where there is no bargain: a gradient vanishes, or they are opposite.

    """
    norms = [g.double().norm() for g in (retain, forget)]
    room = 1 + (retain.double() @ forget.double()) / (norms[0] * norms[1]).clamp(min=torch.finfo(torch.float64).tiny)
    if min(norms) == 0 or room < 1e-12:
        return 1.0, 0.1
    return float(1 / (norms[0] * room.sqrt())), float(1 / (norms[1] * room.sqrt()))


def flat_gradient(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """Return the gradient of a loss in one piece, shape (parameters,); the graph is kept."""
    return flat(gradient(loss, parameters, keep_graph=True))


@UNLEARNERS.register
class MUNBA(Retaining):
    """At each update weigh the retain and the forget gradient so that neither side could gain without the other losing more.

    Formula: ``θ ← θ − η·c·(α_r·g_r + α_f·g_f)`` with ``g_r = ∇L(r)``, ``g_f = ∇L(f, ỹ)``, ỹ uniform over all classes and drawn
    anew each time, α from :func:`nash_weights`, and c clipping the sum to norm 1; then ``L(r)`` alone over the retain
    batches that are left when forget batches run out.
    Paper: Wu & Harandi 2024, "MUNBa: Machine Unlearning via Nash Bargaining" (arXiv 2411.15537).
    Public source: JingWu321/MUNBa, ``Classification/unlearn/MUNBa.munba`` (model in train mode).
    Deviations: the closed form is exact; the source's has 1e-8 in its denominators, which shows where gradients are small, and
    single precision. Forget batches beyond the last retain batch are left out, where the source fails.
    Defaults: lr 0.01, 10 epochs, as in the source.
    Cost: per epoch one pass over the retain and one over the forget data, two backward passes for each forget batch more.

    Why it is here: its weights depend on the cosine of the forget and retain gradients only, the very quantity that
    arXiv 2512.03437 says grokking changes.
    """

    family: ClassVar[Family] = "ascent"
    kind: Literal["munba"] = "munba"
    lr: float = Field(1e-2, gt=0, description="learning rate")
    default_epochs: ClassVar[int] = 10

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of retain batches."""
        return length(material.retain)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the bargain, its weights held constant, while there are forget batches, and then ``L(r)``."""
        draw = material.generator("labels")
        while True:
            forget = material.batches("forget")
            for retain in material.batches("retain"):
                batch = next(forget, None)
                yield self.retained(material, retain) if batch is None else self._bargain(material, retain, batch, draw)

    def _bargain(self, material: Material, retain: Batch, forget: Batch, draw: torch.Generator) -> Tensor:
        labels = random_labels(material.objective.targets(forget), material.classes, draw)
        losses = self.retained(material, retain), material.mean_loss(material.objective.relabel(forget, labels))
        parameters = [p for p in material.model.parameters() if p.requires_grad]
        gradients = [flat_gradient(loss, parameters) for loss in losses]
        weights = nash_weights(gradients[0], gradients[1])
        norm = (weights[0] * gradients[0] + weights[1] * gradients[1]).norm()
        clip = (norm + 1e-6).clamp(min=1)  # the 1e-6 of torch's clip_grad_norm_
        bargain: Tensor = (weights[0] * losses[0] + weights[1] * losses[1]) / clip
        return bargain
