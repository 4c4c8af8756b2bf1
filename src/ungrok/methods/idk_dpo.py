"""Direct preference optimization of a refusal over the true answer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, answer, log_ratio, preference_loss
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material


class Preference(AnswerMethod):
    """Prefer another answer to the true one: ``−(2/β)·log σ(β·(Δ_other − Δ_f))`` per forget question."""

    family: ClassVar[Family] = "preference"
    per: ClassVar[Literal["token", "example"]] = "example"
    other: ClassVar[str | None] = "refusal"
    beta: float = Field(0.1, gt=0, description="β, per nat")

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the preference loss of each question."""
        assert self.other is not None
        better = log_ratio(material, answer(batch, self.other, self.kind), self.other)
        worse = log_ratio(material, batch, "forget")
        return preference_loss(better - worse, self.beta)


@UNLEARNERS.register
class IdkDPO(Preference):
    """Prefer "I don't know" to the forget answers, relative to the original model; for language models.

    Formula: minimize ``γ·mean over f of −(2/β)·log σ(β·(Δ_idk − Δ_f)) + α·NLL(r)``, Δ log-likelihood ratios, θ over θ0.
    Paper: Maini et al. 2024 (arXiv 2401.06121); Rafailov et al. 2023 (2305.18290) for the loss.
    Public source: locuslab/open-unlearning, ``DPO``.
    Deviations: each question keeps one refusal for the whole path.
    Defaults: β 0.1, γ 1, α 1, 5 epochs.
    Cost: per epoch two passes over the forget questions and as many retain batches; the original runs once over each answer.
    """

    kind: Literal["idk_dpo"] = "idk_dpo"
