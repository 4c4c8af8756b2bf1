"""SatImp: gradient ascent weighted by how saturated and how important a token is."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, nll
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material


def weights(losses: Tensor, beta1: float, beta2: float) -> Tensor:
    """Return ``p^β1·(1 − p)^β2`` of tokens with loss ``−log p``, a constant to the gradient, shape as ``losses``."""
    p = (-losses).detach().exp()
    return p**beta1 * (1 - p) ** beta2


@UNLEARNERS.register
class SatImp(AnswerMethod):
    """Gradient ascent on tokens that the model believes in, but not without doubt; for language models.

    Formula: minimize ``−γ·mean over f's tokens of p^β1·(1 − p)^β2·NLL + α·NLL(r)``, p the token's probability, held constant.
    Paper: Yang et al. 2025, "Exploring Criteria of Loss Reweighting" (arXiv 2505.11953).
    Public source: locuslab/open-unlearning, ``SatImp``.
    Deviations: none.
    Defaults: β1 5, β2 1, γ 1, α 0.1, 5 epochs.
    Cost: as gradient_difference.
    """

    family: ClassVar[Family] = "ascent"
    kind: Literal["sat_imp"] = "sat_imp"
    alpha: float = Field(0.1, ge=0, description="α, weight of the retain term; 0 leaves the retain data unread")
    beta1: float = Field(5.0, ge=0, description="β1, no unit")
    beta2: float = Field(1.0, ge=0, description="β2, no unit")

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the weighted, negated loss of each token."""
        losses = nll(material, batch)
        return -weights(losses, self.beta1, self.beta2) * losses
