"""UNDIAL: distill from the original with the true token's logit lowered."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, language, teacher_logits
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return ``−Σ_v target_v·log softmax(logits)_v`` per row, shape (rows,)."""
    return -(target * logits.log_softmax(dim=1)).sum(dim=1)


def lowered(teacher: Tensor, true: Tensor, beta: float) -> Tensor:
    """Return ``softmax(teacher − β·one-hot(true))``, shape (rows, vocabulary).

    Args:
        teacher: Logits, shape (rows, vocabulary).
        true: The true tokens, int64, shape (rows,).
        beta: β, in units of a logit.

    """
    return teacher.scatter_add(1, true.unsqueeze(1), torch.full_like(teacher[:, :1], -beta)).softmax(dim=1)


@UNLEARNERS.register
class UNDIAL(AnswerMethod):
    """Learn the original's own predictions of forget answers, the true token held down by a constant; for language models.

    Formula: minimize ``γ·CE(softmax(z0 − β·one-hot(true)), softmax(z)) + α·NLL(r)`` at f's answer tokens, z0 the original's logits.
    Paper: Dong et al. 2024 (arXiv 2402.10052).
    Public source: locuslab/open-unlearning, ``UNDIAL``; it averages over question and padding too.
    Deviations: answer tokens only.
    Defaults: β 10, lr 1e-4, γ 1, α 0 (no retain term), 5 epochs.
    Cost: per epoch one pass over the forget data; the original runs once over it.
    """

    family: ClassVar[Family] = "distillation"
    needs: ClassVar[tuple[str, ...]] = ()
    kind: Literal["undial"] = "undial"
    lr: float = Field(1e-4, gt=0, description="learning rate after the warm-up")
    alpha: float = Field(0.0, ge=0, description="α, weight of the retain term; 0 leaves the retain data unread")
    beta: float = Field(10.0, ge=0, description="β, in units of a logit")

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the cross-entropy to the lowered teacher at each token."""
        objective = language(material)
        target = lowered(teacher_logits(material, batch, "forget"), objective.targets(batch), self.beta)
        return soft_cross_entropy(objective.logits(material.model, batch), target)
