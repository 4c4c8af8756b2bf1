"""Alternate preference optimization: a wrong but plausible answer in the place of the true one."""

from __future__ import annotations

from typing import ClassVar, Literal

from ungrok.methods.base import UNLEARNERS
from ungrok.methods.idk_dpo import Preference


@UNLEARNERS.register
class AltPO(Preference):
    """Prefer a plausible wrong answer to the forget answers, relative to the original model; for language models.

    Formula: minimize ``γ·mean over f of −(2/β)·log σ(β·(Δ_alternate − Δ_f)) + α·NLL(r)``, Δ as in idk_dpo.
    Paper: Mekala et al. 2024 (arXiv 2409.13474).
    Public source: molereddy/Alternate-Preference-Optimization.
    Deviations: the source lets an instruction-tuned model write several alternates for each question; here forget batches bring
    one under ``alternate`` (in TOFU's layout the first perturbed answer).
    Defaults: β 0.1 (the source searches 0.05 to 5), γ 1, α 1, 5 epochs.
    Cost: as idk_dpo.
    """

    other: ClassVar[str | None] = "alternate"
    kind: Literal["alt_po"] = "alt_po"
