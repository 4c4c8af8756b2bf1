"""What methods on any model hold against forgetting on the retain set."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import RetainLoss, divergence, teacher_logits
from ungrok.methods.base import Iterative
from ungrok.methods.material import Material


class Retaining(Iterative):
    """A method with a term on the retain set beside its forgetting, for which there is a choice."""

    optional: ClassVar[frozenset[str]] = frozenset({"retain_loss"})
    listed_later: ClassVar[frozenset[str]] = frozenset({"retain_loss"})
    retain_loss: RetainLoss = Field(
        "nll",
        description="the retain term: nll is the objective's own loss, kl the divergence from the original's predictions",
    )

    def retained(self, material: Material, batch: Batch) -> Tensor:
        """Return the retain term on a batch, a mean over its examples or answer tokens."""
        if self.retain_loss == "nll":
            return material.mean_loss(batch)
        student = material.objective.logits(material.model, batch)
        return divergence(teacher_logits(material, batch, "retain"), student).mean()
