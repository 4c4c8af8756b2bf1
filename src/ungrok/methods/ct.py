"""CT: fine-tuning with transposed convolutions."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.errors import NotApplicable
from ungrok.methods.base import UNLEARNERS
from ungrok.methods.finetune import Finetune
from ungrok.methods.material import Material
from ungrok.methods.scheduled import Epochs


def square_kernels(model: nn.Module) -> list[Tensor]:
    """Return the weights of a model's 2-D convolutions whose kernels have as many rows as columns, and more than one; each once.

    Each has the shape (outputs, inputs, n, n).
    """
    weights = {id(layer.weight): layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d)}
    return [w for w in weights.values() if w.shape[2] == w.shape[3] > 1]


@UNLEARNERS.register
class CT(Finetune):
    """Transpose the kernels of all convolutions, so that features no longer fit, and fine-tune on the retain set from there.

    Formula: ``K ← Kᵀ`` for every kernel K of every 2-D convolution; then minimize ``L(r)`` over retain batches, in epoch e = 1, 2, … of E
    at the rate ``lr·(1 + cos(π(e − 1)/E))/2``.
    Paper: Cadet et al. 2024 (arXiv 2410.01276), "Convolution Transpose"; the fifth of the NeurIPS 2023 unlearning challenge.
    Public source: xcadet/deepunlearn (no licence), ``KGLTop5.unlearn``.
    Deviations: kernels that are not square, whose transposition would change the size of what they give, and frozen ones stay.
    Defaults: SGD 1e-3, momentum 0.9, weight decay 5e-4, 3 epochs, as in the source (batch 64).
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    inputs: ClassVar[tuple[str, ...]] = ("classifier",)
    kind: Literal["ct"] = "ct"  # type: ignore[assignment]
    lr: float = Field(1e-3, gt=0, description="learning rate of the first epoch")
    default_epochs: ClassVar[int] = 3

    def check(self, material: Material) -> None:
        """Refuse a model without a kernel to transpose."""
        if not square_kernels(material.model):
            raise NotApplicable(
                "ct: the model has no convolution with a square kernel of more than one pixel to transpose"
            )

    @torch.no_grad()
    def begin(self, material: Material) -> Epochs:
        """Transpose the kernels that are not frozen."""
        for kernels in square_kernels(material.model):
            if kernels.requires_grad:
                kernels.copy_(kernels.transpose(2, 3).clone())
        return Epochs.of(self, material)

    def rate(self, material: Material[Epochs], update: int) -> float:
        """Return the learning rate of the epoch."""
        epochs = material.state
        return self.lr * (1 + math.cos(math.pi * (epochs.at(update) - 1) / epochs.total)) / 2
