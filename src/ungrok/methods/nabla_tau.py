"""∇τ: ascent on forget that stops by itself at the validation loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material, Role, length
from ungrok.methods.retaining import Retaining


def squared_shortfall(forget: Tensor, validation: Tensor) -> Tensor:
    """Return ``ReLU(L(v) − L(f))²``: how far the forget loss has still to climb, squared; a scalar."""
    return torch.relu(validation - forget).square()


@UNLEARNERS.register
class NablaTau(Retaining):
    """Climb the forget loss only until it reaches the loss on unseen data, and descend on the retain set meanwhile.

    Formula: minimize ``α_t·ReLU(L(v) − L(f))² + (1 − α_t)·L(r)`` with ``α_t = α·(1 − t/T)`` at update t of T; L(v), the
    loss of the current model on a validation batch, is a constant to the gradient.
    Paper: Trippa et al. 2024 (arXiv 2403.14339), restated from its abstract: "adaptive gradient ascent on the data to be
    forgotten, standard gradient descent on the remaining data". No public source.
    Deviations: the linear decay of α and the stop-gradient on L(v) are our reading; the abstract fixes neither.
    Defaults: α 0.5, lr 0.01, 5 epochs, ours; the paper claims that nothing needs tuning.
    Cost: one pass over the retain data, and as many forget and validation batches (forward only), per epoch.
    """

    family: ClassVar[Family] = "ascent"
    self_stopping: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("retain", "validation")
    reads: ClassVar[tuple[Role, ...]] = ("forget", "retain", "validation")
    kind: Literal["nabla_tau"] = "nabla_tau"
    lr: float = Field(1e-2, gt=0, description="learning rate")
    alpha: float = Field(0.5, ge=0, le=1, description="initial weight of the forget term, no unit")

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of retain batches."""
        return length(material.retain)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:
        """Yield the adaptive loss over triples of retain, forget and validation batches."""
        streams = zip(*(material.endless(s) for s in ("retain", "forget", "validation")), strict=False)
        for update, (retain, forget, validation) in enumerate(streams):
            alpha = self.alpha * (1 - update / total)
            with torch.no_grad():
                target = material.mean_loss(validation)
            climb = squared_shortfall(material.mean_loss(forget), target)
            yield alpha * climb + (1 - alpha) * self.retained(material, retain)
