"""Gradient difference: ascent on what is to be forgotten, descent on the rest."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, nll
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material


@UNLEARNERS.register
class GradientDifference(AnswerMethod):
    """Raise the loss on forget answers and keep it low on retain answers; for language models.

    Formula: minimize ``−γ·NLL(f) + α·NLL(r)``, token means.
    Paper: Liu et al. 2022 (arXiv 2203.12817); Maini et al. 2024 (2401.06121).
    Public source: locuslab/open-unlearning, ``GradDiff``.
    Deviations: none.
    Defaults: γ 1, α 1, 5 epochs.
    Cost: per epoch one pass over the forget data and as many retain batches.
    """

    family: ClassVar[Family] = "ascent"
    kind: Literal["gradient_difference"] = "gradient_difference"

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return minus the negative log-likelihood of each token."""
        return -nll(material, batch)
