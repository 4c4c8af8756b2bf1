"""Training the forget set on random labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material, length
from ungrok.methods.retaining import Retaining


def random_labels(truth: Tensor, classes: int, draw: torch.Generator) -> Tensor:
    """Return labels uniform over all classes, the true one included, shape and device of ``truth``, int64."""
    return torch.randint(classes, truth.shape, generator=draw).to(truth.device)


@UNLEARNERS.register
class RandomLabel(Retaining):
    """Teach the model random labels for the forget set, and the true ones for the retain set.

    Formula: each epoch minimizes ``L(f, ỹ)`` over the forget batches, ỹ uniform over all classes and drawn anew each time
    (the true label is allowed), then ``L(r)`` over the retain batches.
    Paper: Golatkar et al. 2020 (arXiv 1911.04933).
    Public source: OPTML-Group/Unlearn-Saliency, ``RL``.
    Deviations: none.
    Defaults: lr 0.01, 10 epochs, as in the source (CIFAR-10, ResNet-18).
    Cost: one pass over the forget and one over the retain data per epoch.
    """

    family: ClassVar[Family] = "relabeling"
    kind: Literal["random_label"] = "random_label"
    lr: float = Field(1e-2, gt=0, description="learning rate")
    default_epochs: ClassVar[int] = 10

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of forget and retain batches."""
        return length(material.forget) + length(material.retain)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the losses of the forget pass and the retain pass, epoch after epoch."""
        draw = material.generator("labels")
        while True:
            for batch in material.batches("forget"):
                labels = random_labels(material.objective.targets(batch), material.classes, draw)
                yield material.mean_loss(material.objective.relabel(batch, labels))
            for batch in material.batches("retain"):
                yield self.retained(material, batch)
