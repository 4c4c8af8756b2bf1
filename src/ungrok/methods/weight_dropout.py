"""Weight dropout: fine-tuning with some weights set to zero."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.methods.base import UNLEARNERS
from ungrok.methods.displaced import Displaced


@UNLEARNERS.register
class WeightDropout(Displaced):
    """Set a random share of all weights to zero, once, and fine-tune on the retain set from there.

    Formula: ``θ ← m ⊙ θ0``, each m being 0 with probability ``share`` and 1 otherwise; then minimize ``L(r)`` over retain batches,
    in which all weights move. Share 0 is fine-tuning.
    Paper: Siddiqui et al. 2025 (arXiv 2505.22310), a baseline there.
    Public source: shoaibahmed/vision_relearning (MIT), ``drop_model_parameters``.
    Deviations: frozen parameters stay. At share 0 the source drops a weight whose draw is exactly 0; here all are kept.
    Defaults: share 0.2, Adam 1e-5 without weight decay, 100 epochs, as in the source (CIFAR-10, ResNet-18, batch 128). What is left
    is not scaled up, as in the source.
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    kind: Literal["weight_dropout"] = "weight_dropout"  # type: ignore[assignment]
    share: float = Field(0.2, ge=0, lt=1, description="probability with which a weight is set to zero")

    def displaced(self, weight: Tensor, draw: torch.Generator) -> Tensor:
        """Return the weight with zeros in it."""
        kept = torch.rand(weight.shape, generator=draw, dtype=weight.dtype) >= self.share
        return weight * kept.to(weight.device)
