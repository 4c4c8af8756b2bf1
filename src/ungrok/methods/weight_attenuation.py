"""Weight attenuation: fine-tuning from smaller weights."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.methods.base import UNLEARNERS
from ungrok.methods.displaced import Displaced


@UNLEARNERS.register
class WeightAttenuation(Displaced):
    """Shrink all weights towards zero at once, and fine-tune on the retain set from there.

    Formula: ``θ ← (1 − share)·θ0``; then minimize ``L(r)`` over retain batches. Share 0 is fine-tuning.
    Paper: Siddiqui et al. 2025 (arXiv 2505.22310), a baseline there.
    Public source: shoaibahmed/vision_relearning (MIT), ``attenuate_model_parameters``, whose factor is 1 − share.
    Deviations: frozen parameters stay.
    Defaults: share 0.5, Adam 1e-5 without weight decay, 100 epochs, as in the source (CIFAR-10, ResNet-18, batch 128).
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    kind: Literal["weight_attenuation"] = "weight_attenuation"  # type: ignore[assignment]
    share: float = Field(0.5, ge=0, lt=1, description="share of every weight that is taken away")

    def displaced(self, weight: Tensor, draw: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return the weight without its share."""
        return (1 - self.share) * weight
