"""SimNPO: negative preference optimization without a reference model."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, language, nll, preference_loss
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material


@UNLEARNERS.register
class SimNPO(AnswerMethod):
    """Make forget answers unlikely per token, with a margin in place of a reference model; for language models.

    Formula: minimize ``γ·mean over f of −(2/β)·log σ(β·(NLL/|y| − δ)) + α·NLL(r)``.
    Paper: Fan et al. 2024 (arXiv 2410.07163).
    Public source: OPTML-Group/Unlearn-Simple; locuslab/open-unlearning, ``SimNPO``.
    Deviations: none.
    Defaults: β 4.5, δ 0, γ 0.125, α 1, 5 epochs.
    Cost: as gradient_difference.
    """

    family: ClassVar[Family] = "preference"
    per: ClassVar[Literal["token", "example"]] = "example"
    kind: Literal["simnpo"] = "simnpo"
    gamma: float = Field(0.125, ge=0, description="γ, weight of the forget term")
    beta: float = Field(4.5, gt=0, description="β, per nat per token")
    delta: float = Field(0.0, description="δ, margin in nats per token")

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the preference loss of each answer."""
        objective = language(material)
        mean = objective.sums(nll(material, batch), batch) / objective.counts(batch)
        return preference_loss(mean - self.delta, self.beta)
