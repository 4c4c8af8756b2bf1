"""SalUn: random labels on the salient weights only."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.gradients import flat, gradient, trainable
from ungrok.core.precision import wide
from ungrok.core.scores import evaluating
from ungrok.methods.base import UNLEARNERS
from ungrok.methods.material import Material
from ungrok.methods.random_label import RandomLabel


def saliency_mask(gradients: dict[str, Tensor], k: float) -> dict[str, Tensor]:
    """Return, per parameter, where the absolute gradient is among the global top share ``k``.

    The threshold is selected as a k-th value, without sorting; all values equal to it are in.

    Args:
        gradients: One tensor per parameter.
        k: Share of weights in (0, 1] that may move.

    """
    magnitude = flat(wide(g).abs() for g in gradients.values())  # numpy has no bfloat16
    count = max(1, int(k * len(magnitude)))
    place = len(magnitude) - count
    threshold = float(np.partition(magnitude.cpu().numpy(), place)[place])
    return {name: g.abs() >= threshold for name, g in gradients.items()}


Masks = dict[str, tuple[Tensor, Tensor]]
"""Per parameter, where it may move (bool, its shape) and its starting value."""


@UNLEARNERS.register
class SalUn(RandomLabel):
    """Find the weights to which the forget loss is most sensitive, and train only those on random labels.

    Formula: ``m = 1[|Σ_batches ∇L(f)| among the global top k]``, the gradients taken in eval mode at θ0; then random_label with
    gradients ``m ⊙ g``.
    Paper: Fan et al. 2024 (arXiv 2310.12508).
    Public source: OPTML-Group/Unlearn-Saliency, ``generate_mask`` and ``RL``.
    Deviations: weights that tie with the threshold are all in, where the source takes them in the order of the parameters. Masked
    weights and their momentum are restored after each update, as in the source since 2026; before, weight decay moved them.
    Defaults: k 0.5, lr 0.013, 10 epochs, as in the source (CIFAR-10, ResNet-18).
    Cost: as random_label, and one pass over the forget data for the mask.
    """

    kind: Literal["salun"] = "salun"  # type: ignore[assignment]
    lr: float = Field(0.013, gt=0, description="learning rate")
    k: float = Field(0.5, gt=0, le=1, description="share of the weights that may move")

    def begin(self, material: Material) -> Masks:
        """Return the masks at the starting point."""
        model, named = material.model, trainable(material.model)
        total: tuple[Tensor, ...] | None = None
        with evaluating(model):
            for batch in material.batches("forget"):
                taken = gradient(material.mean_loss(batch), list(named.values()))
                total = taken if total is None else tuple(map(torch.add, total, taken))
        assert total is not None
        masks = saliency_mask(dict(zip(named, total, strict=True)), self.k)
        return {name: (mask, named[name].detach().clone()) for name, mask in masks.items()}

    def before_update(self, material: Material[Masks], optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """Mask the gradients."""
        for name, parameter in trainable(material.model).items():
            if parameter.grad is not None:
                parameter.grad.mul_(material.state[name][0])

    def after_update(self, material: Material[Masks], optimizer: torch.optim.Optimizer) -> None:
        """Put masked weights and their optimizer state back."""
        restore(material.model, optimizer, material.state)


@torch.no_grad()
def restore(model: nn.Module, optimizer: torch.optim.Optimizer, masks: Masks) -> None:
    """Set masked weights to their starting values and their momentum to zero.

    Args:
        model: The live model.
        optimizer: Its optimizer; every state tensor of a parameter's shape is masked.
        masks: Per parameter, where it may move and its starting value.

    """
    for name, parameter in model.named_parameters():
        if name in masks:
            mask, start = masks[name]
            parameter.copy_(torch.where(mask, parameter, start))
            for value in optimizer.state[parameter].values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.mul_(mask)
