"""KL minimization: ascent on what is to be forgotten, the original's predictions kept on the rest."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import kl_div

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, language, nll, teacher_logits
from ungrok.methods.base import UNLEARNERS
from ungrok.methods.material import Material


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Return ``KL(softmax(teacher) ‖ softmax(student))`` per row, shape (rows,).

    Args:
        teacher: Logits, shape (rows, vocabulary).
        student: Logits, same shape.

    """
    log_p, log_q = teacher.log_softmax(dim=1), student.log_softmax(dim=1)
    return kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1)


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

    kind: Literal["kl_minimization"] = "kl_minimization"

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return minus the negative log-likelihood of each token."""
        return -nll(material, batch)

    def retain_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the divergence from the original at each token."""
        teacher = teacher_logits(material, batch, "retain")
        return divergence(teacher, language(material).logits(material.model, batch))
