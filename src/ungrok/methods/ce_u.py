"""CE-U: cross-entropy to the model's own prediction without the true token."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, language
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material
from ungrok.methods.undial import soft_cross_entropy


def without_true(logits: Tensor, true: Tensor) -> Tensor:
    """Return ``softmax(logits)`` with the true token's logit at −∞, a constant to the gradient, shape (rows, vocabulary)."""
    return logits.detach().scatter(1, true.unsqueeze(1), float("-inf")).softmax(dim=1)


@UNLEARNERS.register
class CEU(AnswerMethod):
    """Learn what the model would say if it could not say the true token; for language models.

    Formula: minimize ``γ·CE(softmax(z with the true logit at −∞), softmax(z)) + α·NLL(r)`` at f's answer tokens; the target is
    the live model's, held constant.
    Paper: Yang 2025, "CE-U: Cross Entropy Unlearning" (arXiv 2503.01224).
    Public source: locuslab/open-unlearning, ``CEU``, which can also skip the first tokens of an answer.
    Deviations: no token is skipped.
    Defaults: γ 1, α 0 (no retain term), 5 epochs.
    Cost: per epoch one pass over the forget data.
    """

    family: ClassVar[Family] = "distillation"
    needs: ClassVar[tuple[str, ...]] = ()
    kind: Literal["ce_u"] = "ce_u"
    alpha: float = Field(0.0, ge=0, description="α, weight of the retain term; 0 leaves the retain data unread")

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the cross-entropy at each token."""
        objective = language(material)
        logits = objective.logits(material.model, batch)
        return soft_cross_entropy(logits, without_true(logits, objective.targets(batch)))
