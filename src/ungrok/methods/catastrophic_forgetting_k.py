"""Catastrophic forgetting-k: fine-tuning of the last blocks."""

from __future__ import annotations

from typing import Literal

from ungrok.methods.base import UNLEARNERS
from ungrok.methods.blocks import LastBlocks


@UNLEARNERS.register
class CatastrophicForgettingK(LastBlocks):
    """Fine-tune only the last k blocks on the retain set, and count on them to forget.

    Formula: minimize ``L(r)`` over the parameters of the last k blocks.
    Paper: Goel et al. 2022 (arXiv 2201.06640), CF-k.
    Public source: meghdadk/SCRUB, ``fk_fientune`` (all of the model in train mode; for small data in eval mode, and with a pull
    ``λ/2·‖θ − θ0‖²``).
    Deviations: batch-norm statistics of frozen blocks stay too; in the source they move. k counts from the classifier, which the
    source leaves frozen: it trains the block before. The pull is not offered.
    Defaults: k 1; SGD 0.01 without momentum or weight decay, 10 epochs, as in the source.
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    kind: Literal["catastrophic_forgetting_k"] = "catastrophic_forgetting_k"
