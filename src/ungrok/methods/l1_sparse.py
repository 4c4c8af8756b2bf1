"""Fine-tuning under an L1 penalty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.precision import wide
from ungrok.methods.base import UNLEARNERS, Family, Iterative
from ungrok.methods.material import Material, Role, length


def l1_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Return ``‖θ‖₁``, the sum of the absolute values of all parameters, a scalar."""
    return torch.stack([wide(p).abs().sum() for p in parameters]).sum()


@UNLEARNERS.register
class L1Sparse(Iterative):
    """Fine-tune on the retain set while a penalty drives weights to zero: a sparse model has less room for what was forgotten.

    Formula: minimize ``L(r) + α_t·‖θ‖₁`` with ``α_t = α·(1 − e/E)`` in epoch e = 0, 1, … of E.
    Paper: Jia et al. 2023 (arXiv 2304.04934).
    Public source: OPTML-Group/Unlearn-Sparse, ``FT_l1``.
    Deviations: the penalty covers trainable parameters only, so that frozen ones stay out of it.
    Defaults: lr 0.01, 10 epochs, as in the source (CIFAR-10, ResNet-18); α 5e-4, which the source leaves to the command line.
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    family: ClassVar[Family] = "retain"
    reads: ClassVar[tuple[Role, ...]] = ("retain",)
    kind: Literal["l1_sparse"] = "l1_sparse"
    lr: float = Field(1e-2, gt=0, description="learning rate")
    alpha: float = Field(5e-4, ge=0, description="initial weight of the penalty, loss per unit of |weight|")
    default_epochs: ClassVar[int] = 10

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of retain batches."""
        return length(material.retain)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:
        """Yield the penalized loss over the retain batches in order."""
        per_epoch = self.updates_per_epoch(material)
        epochs = -(-total // per_epoch)
        weights = [p for p in material.model.parameters() if p.requires_grad]
        for update, batch in enumerate(material.endless("retain")):
            alpha = self.alpha * (1 - (update // per_epoch) / epochs)
            norm = l1_norm(weights)
            yield material.mean_loss(batch) + alpha * norm
