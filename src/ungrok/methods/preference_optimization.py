"""Preference optimization: answer "I don't know" to what is to be forgotten."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from ungrok.core.causal_lm import CausalLM
from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, answer, nll
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material


@UNLEARNERS.register
class PreferenceOptimization(AnswerMethod):
    """Learn to refuse the forget questions, and go on learning the retain answers; for language models.

    Formula: minimize ``γ·NLL(f questions, answered by a refusal) + α·NLL(r)``, token means.
    Paper: Maini et al. 2024 (arXiv 2401.06121), where it is called preference optimization although no preference enters.
    Public source: locuslab/open-unlearning, ``IdkNLL``.
    Deviations: each question keeps one refusal for the whole path; the source draws one at every visit.
    Defaults: γ 1, α 1, 5 epochs.
    Cost: as gradient_difference. Forget batches carry a batch of refusals under ``refusal``.
    """

    family: ClassVar[Family] = "relabeling"
    other: ClassVar[str | None] = "refusal"
    kind: Literal["preference_optimization"] = "preference_optimization"

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the negative log-likelihood of each token of the refusals."""
        return nll(material, answer(batch, "refusal", self.kind))

    def count(self, objective: CausalLM, batch: Batch) -> Tensor | int:
        """Return the number of tokens of the refusals."""
        return objective.weight(answer(batch, "refusal", self.kind))
