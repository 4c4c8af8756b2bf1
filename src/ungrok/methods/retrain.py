"""Retraining from scratch on the retain set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.methods.base import UNLEARNERS, Family, InParts
from ungrok.methods.material import Material, Role, length


@UNLEARNERS.register
class Retrain(InParts):
    """Start from fresh weights and train on the retain set only; exact by construction, and what all else is measured by.

    Formula: minimize ``L(r)`` from a freshly initialized model.
    Paper: the definition of exact unlearning (Cao & Yang 2015).
    Public source: OPTML-Group/Unlearn-Saliency, ``retrain``; that of if-loops/selective-synaptic-dampening re-initializes only the
    last layer of its ResNet.
    In a study on language models, fresh weights are those before fine-tuning.
    Deviations: frozen parameters keep their values: they are taken not to have seen the data. No learning-rate schedule.
    Defaults: SGD 0.1, momentum 0.9, weight decay 5e-4 as in the source; 30 epochs, ours. Give those of the original training instead.
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    family: ClassVar[Family] = "retain"
    needs: ClassVar[tuple[str, ...]] = ("retain", "factory")
    from_scratch: ClassVar[bool] = True
    reads: ClassVar[tuple[Role, ...]] = ("retain",)
    kind: Literal["retrain"] = "retrain"
    lr: float = Field(0.1, gt=0, description="learning rate")
    default_epochs: ClassVar[int] = 30

    def begin(self, material: Material) -> None:
        """Replace buffers and trainable parameters by those of a fresh model."""
        material.renew(material.model, material.fresh())

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of retain batches."""
        return length(material.retain)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield ``L(r)`` over the retain batches in order."""
        for batch in material.endless("retain"):
            yield self.mean_loss(material, batch)
