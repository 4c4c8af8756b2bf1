"""KL minimization: ascent on what is to be forgotten, the original's predictions kept on the rest."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, RetainLoss, nll
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material


@UNLEARNERS.register
class KLMinimization(AnswerMethod):
    """Raise the loss on forget answers and hold the predictions on retain answers where they were; for language models.

    Formula: minimize ``−γ·NLL(f) + α·KL(θ0 ‖ θ)``, the divergence of next-token distributions at r's answer tokens.
    Paper: Maini et al. 2024 (arXiv 2401.06121).
    Public source: locuslab/open-unlearning, ``GradDiff`` with ``retain_loss_type: KL``; it takes the divergence over question and
    padding too, and divides by the number of sequences.
    Deviations: answer tokens only, token mean.
    Defaults: γ 1, α 1, 5 epochs.
    Cost: as gradient_difference; the original runs once over every retain batch that is met.
    """

    family: ClassVar[Family] = "ascent"
    kind: Literal["kl_minimization"] = "kl_minimization"
    retain_loss: RetainLoss = Field("kl", description="the retain term; with nll the method is gradient_difference")

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return minus the negative log-likelihood of each token."""
        return -nll(material, batch)
