"""DELETE: distill the original model's prediction with the true class struck out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.methods.answers import teacher_logits
from ungrok.methods.base import UNLEARNERS, Family, Iterative
from ungrok.methods.material import Material, Role, length
from ungrok.methods.scrub import distillation


def struck_out(teacher: Tensor, targets: Tensor) -> Tensor:
    """Return the teacher's logits with those of the true classes so low that their probability is 0, shape (n, classes)."""
    # A finite floor in place of −∞: its probability is 0 in any precision and 0·log 0 does not arise.
    floor = teacher.min() - 1e4
    return teacher.scatter(1, targets.unsqueeze(1), floor.item())


@UNLEARNERS.register
class DELETE(Iterative):
    """Teach each forget example what the original model would say if its class did not exist.

    Formula: minimize ``KL(softmax(z0 with z0[y] = −∞) ‖ softmax(θ(f)))``, z0 the original's logits.
    Paper: Zhou et al. 2025, "Decoupled Distillation to Erase" (CVPR 2025, arXiv 2503.23751).
    Public source: shaaaaron/DELETE, ``method.delete`` (student in train mode).
    Deviations: none.
    Defaults: SGD 1e-4, momentum 0.9, no weight decay, 20 epochs, as in the source (CIFAR-10, ResNet-18).
    Cost: one pass over the forget data per epoch, two forward passes; none over the retain data.

    Why it is here: like gradient ascent it sees the forget data only, but its loss is bounded, so it shows how much of
    gradient ascent's damage is the unbounded loss.
    """

    family: ClassVar[Family] = "distillation"
    needs: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[Role, ...]] = ("forget",)
    kind: Literal["delete"] = "delete"
    lr: float = Field(1e-4, gt=0, description="learning rate")
    weight_decay: float = Field(0.0, ge=0, description="added to the gradient (decoupled for adamw)")
    default_epochs: ClassVar[int] = 20

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of forget batches."""
        return length(material.forget)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the divergence from the masked original over the forget batches in order."""
        objective = material.objective
        for batch in material.endless("forget"):
            masked = struck_out(teacher_logits(material, batch, "forget"), objective.targets(batch))
            yield distillation(objective.logits(material.model, batch), masked, 1.0)
