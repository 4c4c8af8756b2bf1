"""Negative preference optimization: gradient ascent that fades as an answer becomes unlikely."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, log_ratio, preference_loss
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material


@UNLEARNERS.register
class NPO(AnswerMethod):
    """Treat forget answers as the losing side of a preference without a winner; for language models.

    Formula: minimize ``γ·mean over f of −(2/β)·log σ(−β·Δ) + α·NLL(r)``, Δ the log-likelihood ratio of the answer, θ over θ0.
    Paper: Zhang et al. 2024 (arXiv 2404.05868).
    Public source: locuslab/open-unlearning, ``NPO``.
    Deviations: none.
    Defaults: β 0.1, γ 1, α 1, 5 epochs.
    Cost: as gradient_difference; the original runs once over the forget data.
    """

    family: ClassVar[Family] = "preference"
    per: ClassVar[Literal["token", "example"]] = "example"
    kind: Literal["npo"] = "npo"
    beta: float = Field(0.1, gt=0, description="β, per nat; towards 0 it becomes gradient ascent")

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the preference loss of each answer."""
        return preference_loss(-log_ratio(material, batch, "forget"), self.beta)
