"""Gradient ascent on the forget set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.methods.base import UNLEARNERS, Family, InParts
from ungrok.methods.material import Material, Role, length
from ungrok.methods.scheduled import Scheduled


@UNLEARNERS.register
class GradientAscent(InParts, Scheduled):
    """Climb the loss of the forget set; nothing protects the rest.

    Formula: minimize ``−L(f)``, L the objective's mean loss over a forget batch.
    Paper: Golatkar et al. 2020 (arXiv 1911.04933) and Thudi et al. 2022 (2109.13398) as a baseline.
    Public source: OPTML-Group/Unlearn-Saliency, ``GA`` (SGD, momentum 0.9, weight decay 5e-4, batch norm in train mode).
    Deviations: none.
    Defaults: lr 1e-4 and 5 epochs as in the source (CIFAR-10, ResNet-18), whose author advises 5e-4 to 1e-3.
    Cost: one pass over the forget data per epoch, none over the retain data.
    """

    family: ClassVar[Family] = "ascent"
    optional: ClassVar[frozenset[str]] = frozenset({"micro_batch", "schedule", "warmup_epochs"})
    listed_later: ClassVar[frozenset[str]] = frozenset({"schedule", "warmup_epochs"})
    needs: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[Role, ...]] = ("forget",)
    kind: Literal["gradient_ascent"] = "gradient_ascent"
    lr: float = Field(1e-4, gt=0, description="learning rate")

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of forget batches."""
        return length(material.forget)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield ``−L(f)`` over the forget batches in order."""
        for batch in material.endless("forget"):
            yield self.mean_loss(material, batch, -1.0)
