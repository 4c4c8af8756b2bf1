"""NegGrad+: descent on retain and ascent on forget at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material, length
from ungrok.methods.retaining import Retaining


@UNLEARNERS.register
class NegGradPlus(Retaining):
    """Descend on a retain batch and climb on a forget batch in one weighted loss.

    Formula: minimize ``α·L(r) − (1 − α)·L(f)``; every retain batch is paired with the next forget batch, forget batches
    starting over when they run out.
    Paper: Kurmanji et al. 2023 (arXiv 2302.09880).
    Public source: meghdadk/SCRUB, ``loops.train_negrad`` (model in train mode).
    Deviations: none.
    Defaults: α 0.9999 (large scale; 0.95 small scale), SGD 0.01 without momentum or weight decay, 5 epochs, as in the source.
    Cost: one pass over the retain data and as many forget batches per epoch.
    """

    family: ClassVar[Family] = "ascent"
    kind: Literal["neggrad_plus"] = "neggrad_plus"
    lr: float = Field(1e-2, gt=0, description="learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum of SGD; other optimizers ignore it")
    weight_decay: float = Field(0.0, ge=0, description="added to the gradient (decoupled for adamw)")
    alpha: float = Field(0.9999, ge=0, le=1, description="weight of the retain loss, no unit")

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of retain batches."""
        return length(material.retain)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the weighted difference over pairs of retain and forget batches."""
        while True:
            for retain, forget in zip(material.batches("retain"), material.endless("forget"), strict=False):
                yield self.alpha * self.retained(material, retain) - (1 - self.alpha) * material.mean_loss(forget)
