"""Fine-tuning on the retain set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.methods.base import UNLEARNERS, Family, InParts
from ungrok.methods.material import Material, Role, length


@UNLEARNERS.register
class Finetune(InParts):
    """Keep training on the retain set and count on the model to forget the rest by itself.

    Formula: minimize ``L(r)`` over retain batches.
    Paper: Warnecke et al. 2023 (arXiv 2108.11577); Golatkar et al. 2020 (1911.04933) as a baseline.
    Public source: OPTML-Group/Unlearn-Saliency, ``FT`` (SGD, momentum 0.9, weight decay 5e-4, batch 256).
    Deviations: none.
    Defaults: lr 0.01 and 10 epochs as in the source (CIFAR-10, ResNet-18); its users reproduce with 0.04.
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    family: ClassVar[Family] = "retain"
    reads: ClassVar[tuple[Role, ...]] = ("retain",)
    kind: Literal["finetune"] = "finetune"
    lr: float = Field(1e-2, gt=0, description="learning rate")
    default_epochs: ClassVar[int] = 10

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of retain batches."""
        return length(material.retain)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield ``L(r)`` over the retain batches in order."""
        for batch in material.endless("retain"):
            yield self.mean_loss(material, batch)
