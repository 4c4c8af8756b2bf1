"""Amnesiac unlearning by wrong labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material, length
from ungrok.methods.retaining import Retaining


def wrong_labels(truth: Tensor, classes: int, draw: torch.Generator) -> Tensor:
    """Return labels uniform over all classes but the true one, shape and device of ``truth``, int64."""
    shift = torch.randint(1, classes, truth.shape, generator=draw).to(truth.device)
    return (truth + shift) % classes


@UNLEARNERS.register
class Amnesiac(Retaining):
    """Give every forget example one wrong label, drawn once, and train on those and on the retain set.

    Formula: each epoch minimizes ``L(f, ỹ)`` over the forget batches, then ``L(r)`` over the retain batches; ỹ ≠ y is uniform
    over the other classes and fixed for the whole path.
    Paper: Graves et al. 2021 (arXiv 2010.10981).
    Public source: vikram2000b/bad-teaching-unlearning, the notebook's cells and ``fit_one_unlearning_cycle`` (model in train mode).
    Deviations: the source shuffles both sets together; here the order is the caller's. The forget batches are kept from the
    first pass, so that a label stays with its example.
    Defaults: Adam 1e-4, 3 epochs, as in the source.
    Cost: one pass over the forget and one over the retain data per epoch.
    """

    family: ClassVar[Family] = "relabeling"
    kind: Literal["amnesiac"] = "amnesiac"
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    lr: float = Field(1e-4, gt=0, description="learning rate")
    weight_decay: float = Field(0.0, ge=0, description="added to the gradient (decoupled for adamw)")
    default_epochs: ClassVar[int] = 3

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of forget and retain batches."""
        return length(material.forget) + length(material.retain)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the losses of the mislabeled pass and the retain pass, epoch after epoch."""
        mislabeled = self._mislabeled(material)
        while True:
            for batch in mislabeled:
                yield material.mean_loss(batch)
            for batch in material.batches("retain"):
                yield self.retained(material, batch)

    @staticmethod
    def _mislabeled(material: Material) -> list[Batch]:
        draw, objective = material.generator("labels"), material.objective
        return [
            objective.relabel(batch, wrong_labels(objective.targets(batch), material.classes, draw))
            for batch in material.batches("forget")
        ]
