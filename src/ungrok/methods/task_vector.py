"""Task vectors: subtract what learning the forget set adds to a base model."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.gradients import trainable
from ungrok.core.modules import bare, duplicate
from ungrok.core.precision import Masters
from ungrok.core.scores import device_of
from ungrok.methods.base import UNLEARNERS, OneShot, Strengths
from ungrok.methods.material import Material, Role


@UNLEARNERS.register
class TaskVector(OneShot):
    """Train the base model on the forget set alone and subtract the change, times a strength, from the model.

    Formula: ``θ ← θ0 − α·(θ_reinforced − θ_base)``, θ_reinforced being θ_base after ``epochs`` passes of AdamW over f.
    Paper: Ilharco et al. 2023 (arXiv 2212.04089).
    Public source: MUSE (jaechan-repo/muse_bench), ``tv``, which reinforces the model itself instead of the base.
    Deviations: that one.
    Defaults: α 5, AdamW 1e-5, 5 epochs. The dose is α.
    Cost: ``epochs`` passes over the forget data; none over the retain data.
    """

    needs: ClassVar[tuple[str, ...]] = ("base",)
    reads: ClassVar[tuple[Role, ...]] = ("forget",)
    kind: Literal["task_vector"] = "task_vector"
    alpha: Strengths = Field((5.0,), description="strengths α, no unit")
    lr: float = Field(1e-5, gt=0, description="learning rate of the reinforcement")
    epochs: int = Field(5, ge=1, description="passes over the forget data")

    def doses(self) -> tuple[float, ...]:
        """Return α, increasing."""
        return tuple(sorted(self.alpha))

    def prepare(self, material: Material) -> Callable[[float], None]:
        """Compute what a copy of the base model learns from the forget set."""
        model, vector = material.model, self._vector(material)
        original = {name: p.detach().clone() for name, p in model.named_parameters()}

        def move(dose: float) -> None:
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(original[name] - dose * vector[name])

        return move

    def _vector(self, material: Material) -> dict[str, Tensor]:
        """Return ``θ_reinforced − θ_base`` by the names of the parameters."""
        assert material.base is not None
        objective, base = material.objective, duplicate(bare(material.base)).to(device_of(material.model))
        start = {name: p.detach().clone() for name, p in base.named_parameters()}
        learned = trainable(base)
        optimizer, masters = torch.optim.AdamW(learned.values(), self.lr), Masters(learned.values())
        base.train()
        for _ in range(self.epochs):
            for batch in material.batches("forget"):
                optimizer.zero_grad(set_to_none=True)
                objective.mean(objective.losses(objective.logits(base, batch), batch), batch).backward()
                with masters.widened():
                    optimizer.step()
        with masters.widened():
            return {name: p.detach() - start[name] for name, p in base.named_parameters()}
