"""SCRUB: a student that disobeys its teacher on forget and obeys on retain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import teacher_logits
from ungrok.methods.base import UNLEARNERS, Family, Iterative
from ungrok.methods.material import Material, length


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return ``T²·KL(softmax(teacher/T) ‖ softmax(student/T))``, averaged over examples.

    Args:
        student: Logits, shape (n, classes).
        teacher: Logits, shape (n, classes).
        temperature: T > 0.

    """
    log_p, log_q = (F.log_softmax(x / temperature, dim=1) for x in (teacher, student))
    return temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


@dataclass
class EpochCount:
    """How many epochs a path has begun.

    Args:
        epoch: Counted from 1; 0 before the first update.

    """

    epoch: int = 0


@UNLEARNERS.register
class SCRUB(Iterative):
    """Push the model away from its original on the forget set for a few epochs, and pull it back on the retain set.

    Formula: in each epoch up to ``msteps``, maximize ``KL_T(θ0 ‖ θ)`` over the forget batches; then, in every epoch,
    minimize ``γ·L(r) + α·KL_T(θ0 ‖ θ)`` over the retain batches. KL_T carries the factor T².
    Paper: Kurmanji et al. 2023 (arXiv 2302.09880).
    Public source: meghdadk/SCRUB, ``loops.train_distill`` (student in train mode, teacher in eval mode).
    Deviations: none. The source's ``smoothing``, a weight averaging, is set in its notebooks and read nowhere in this method.
    Defaults: the source's large-scale setting: SGD 5e-4, γ 0.99, α 0.001, T 4, msteps 2, 3 epochs. Its small-scale setting is
    ``optimizer="adam", weight_decay=0.1, gamma=1, alpha=0.5, temperature=2, msteps=3, epochs=10, lr_decay_epochs=(5, 8, 9)``.
    Cost: per epoch one pass over the retain data (two forward passes); msteps passes over the forget data.
    """

    family: ClassVar[Family] = "ascent"
    kind: Literal["scrub"] = "scrub"
    lr: float = Field(5e-4, gt=0, description="learning rate")
    gamma: float = Field(0.99, ge=0, description="weight of the retain loss, no unit")
    alpha: float = Field(0.001, ge=0, description="weight of the divergence on retain, no unit")
    temperature: float = Field(4.0, gt=0, description="T, no unit")
    msteps: int = Field(2, ge=0, description="epochs that begin with a pass of maximization")
    lr_decay_epochs: tuple[int, ...] = Field((), description="epochs after which the learning rate falls to a tenth")
    default_epochs: ClassVar[int] = 3

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of updates in an epoch without maximization."""
        return length(material.retain)

    def budget(self, material: Material) -> int:
        """Return the number of updates on the path."""
        if self.updates:
            return self.updates
        epochs = self.epochs or self.default_epochs
        return epochs * length(material.retain) + min(epochs, self.msteps) * length(material.forget)

    def begin(self, material: Material) -> EpochCount:  # noqa: ARG002
        """Return the count before the first epoch."""
        return EpochCount()

    def rate(self, material: Material[EpochCount], update: int) -> float:  # noqa: ARG002
        """Return the learning rate of the epoch."""
        return self.lr * 0.1 ** sum(material.state.epoch > last for last in self.lr_decay_epochs)

    def losses(self, material: Material[EpochCount], total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the losses of maximization and minimization, epoch after epoch."""
        while True:
            material.state.epoch += 1
            if material.state.epoch <= self.msteps:
                for batch in material.batches("forget"):
                    yield -self._divergence(material, batch, "forget")[0]
            for batch in material.batches("retain"):
                divergence, logits = self._divergence(material, batch, "retain")
                own = material.objective.mean(material.objective.losses(logits, batch), batch)
                yield self.gamma * own + self.alpha * divergence

    def _divergence(self, material: Material, batch: Batch, name: str) -> tuple[Tensor, Tensor]:
        student = material.objective.logits(material.model, batch)
        return distillation(student, teacher_logits(material, batch, name), self.temperature), student
