"""Weighted gradient ascent: tokens that have become unlikely count less."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, nll
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material


def belief(losses: Tensor, beta: float) -> Tensor:
    """Return ``p^β`` of tokens with loss ``−log p``, a constant to the gradient, shape as ``losses``."""
    return (-losses).detach().exp() ** beta


@UNLEARNERS.register
class WGA(AnswerMethod):
    """Gradient ascent in which each token weighs as much as the model believes in it; for language models.

    Formula: minimize ``−γ·mean over f's tokens of p^β·NLL + α·NLL(r)``, p the token's probability, held constant.
    Paper: Wang et al. 2025, "Rethinking LLM Unlearning Objectives" (arXiv 2502.19301).
    Public source: locuslab/open-unlearning, ``WGA``.
    Deviations: none.
    Defaults: β 1, γ 1, α 1, 5 epochs.
    Cost: as gradient_difference.
    """

    family: ClassVar[Family] = "ascent"
    kind: Literal["wga"] = "wga"
    beta: float = Field(1.0, ge=0, description="β, no unit; 0 is gradient_difference")

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the weighted, negated loss of each token."""
        losses = nll(material, batch)
        return -belief(losses, self.beta) * losses
