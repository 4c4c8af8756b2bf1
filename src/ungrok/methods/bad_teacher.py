"""Bad teaching: a random teacher for what is to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.objective import Batch
from ungrok.core.scores import evaluating
from ungrok.methods.answers import kept_logits, teacher_logits
from ungrok.methods.base import UNLEARNERS, Family, Iterative
from ungrok.methods.material import Material, length
from ungrok.methods.scrub import distillation


@UNLEARNERS.register
class BadTeacher(Iterative):
    """Learn from a randomly initialized teacher on the forget set and from the original model on the retain set.

    Formula: minimize, averaged over the examples of a retain batch and a forget batch together,
    ``KL(random ‖ θ)`` on f and ``KL(θ0 ‖ θ)`` on r, at temperature T.
    Paper: Chundawat et al. 2023 (arXiv 2205.08096).
    Public source: vikram2000b/bad-teaching-unlearning, ``blindspot_unlearner`` (student in train mode); it averages the divergence
    over examples times classes, so its gradient is C times smaller, and has no factor T².
    Deviations: averaged over examples, times T². The source shuffles both sets together and sees each example once per epoch; here
    each retain batch goes with the next forget batch, and forget batches start over when they run out.
    In a study on language models, fresh weights are those before fine-tuning: that teacher knows language, but not what is to be
    forgotten.
    Defaults: Adam 1e-4, 1 epoch, T 1, 30 % of the retain data (here the first batches, there a sample), as in the source.
    Cost: per epoch the chosen share of the retain data and as many forget batches, two forward passes each.
    """

    family: ClassVar[Family] = "distillation"
    needs: ClassVar[tuple[str, ...]] = ("retain", "factory")
    joins: ClassVar[bool] = True
    kind: Literal["bad_teacher"] = "bad_teacher"
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    lr: float = Field(1e-4, gt=0, description="learning rate")
    weight_decay: float = Field(0.0, ge=0, description="added to the gradient (decoupled for adamw)")
    temperature: float = Field(1.0, gt=0, description="T, no unit")
    share: float = Field(0.3, gt=0, le=1, description="share of the retain batches used, the first ones")
    default_epochs: ClassVar[int] = 1

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of retain batches used."""
        return max(1, round(self.share * length(material.retain)))

    def begin(self, material: Material) -> nn.Module:
        """Return the random teacher."""
        return material.fresh().eval()

    def losses(self, material: Material[nn.Module], total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the divergence from both teachers over pairs of batches, which the student sees as one."""
        forget, count, objective = material.endless("forget"), self.updates_per_epoch(material), material.objective
        while True:
            for pair in zip(islice(material.batches("retain"), count), forget, strict=False):
                wanted = [teacher_logits(material, pair[0], "retain"), self._random(material, pair[1])]
                yield distillation(
                    objective.logits(material.model, objective.join(*pair)), torch.cat(wanted), self.temperature
                )

    def _random(self, material: Material[nn.Module], batch: Batch) -> Tensor:
        """Return the random teacher's logits."""
        teacher, objective = material.state, material.objective

        def compute() -> Tensor:
            with torch.no_grad(), evaluating(teacher):
                return objective.logits(teacher, batch)

        return kept_logits(material, batch, "random", compute)
