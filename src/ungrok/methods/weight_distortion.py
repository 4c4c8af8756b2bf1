"""Weight distortion: fine-tuning from noisy weights."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.methods.base import UNLEARNERS
from ungrok.methods.displaced import Displaced


@UNLEARNERS.register
class WeightDistortion(Displaced):
    """Add noise to all weights, once, and fine-tune on the retain set from there.

    Formula: ``θ ← θ0 + N(0, σ²)``; then minimize ``L(r)`` over retain batches. σ 0 is fine-tuning.
    Paper: Siddiqui et al. 2025 (arXiv 2505.22310), the method that it proposes: what lies far from the original, with a barrier
    between, is slow to relearn.
    Public source: shoaibahmed/vision_relearning (MIT), ``add_gaussian_noise_to_parameters``.
    Deviations: frozen parameters stay.
    Defaults: σ 0.02, Adam 1e-5 without weight decay, 100 epochs, as in the source (CIFAR-10, ResNet-18, batch 128). σ is in the unit of
    the weights: a model of larger weights needs more of it.
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    kind: Literal["weight_distortion"] = "weight_distortion"  # type: ignore[assignment]
    sigma: float = Field(0.02, ge=0, description="σ, standard deviation of the noise, in the unit of the weights")

    def displaced(self, weight: Tensor, draw: torch.Generator) -> Tensor:
        """Return the weight with noise on it."""
        noise = torch.randn(weight.shape, generator=draw, dtype=weight.dtype)
        return weight + self.sigma * noise.to(weight.device)
