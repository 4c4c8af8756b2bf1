"""JiT: zero-shot unlearning by Lipschitz regularization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.unlearn.base import UNLEARNERS, Iterative, Material, length


@UNLEARNERS.register
class JiT(Iterative):
    """Make the output insensitive to perturbations of each forget input, so that it no longer stands out.

    Formula: minimize the mean over forget examples x and over K draws η ~ N(0, σ²) of ``‖θ(x) − θ(x + η)‖₂ / ‖η‖₂``.
    Paper: Foster et al. 2024 (arXiv 2402.01401).
    Public source: jwf40/Zeroshot-Unlearning-At-Scale; not run here, restated from the paper.
    Deviations: none known.
    Defaults: K 25, σ 0.5 in units of the input, lr 3e-4, 1 epoch; the paper tunes σ and lr for each task.
    Cost: K + 1 forward passes over the forget data per epoch; neither labels nor retain data are used.

    Why it is here: it smooths the function around forget points, which is what the paper says grokking has done already.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    kind: Literal["jit"] = "jit"
    lr: float = Field(3e-4, gt=0, description="learning rate")
    weight_decay: float = Field(0.0, ge=0, description="added to the gradient (decoupled for adamw)")
    draws: int = Field(25, ge=1, description="K, perturbations per example")
    sigma: float = Field(0.5, gt=0, description="σ, in units of the input")
    default_epochs: ClassVar[int] = 1

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of forget batches."""
        return length(material.forget)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the mean local Lipschitz quotient over the forget batches in order."""
        draw, objective = material.generator("perturbations"), material.objective
        for inputs, targets in material.endless("forget"):
            clean = objective.logits(material.model, (inputs, targets))
            quotients = []
            for _ in range(self.draws):
                noise = (self.sigma * torch.randn(inputs.shape, generator=draw, dtype=inputs.dtype)).to(inputs.device)
                moved = objective.logits(material.model, (inputs + noise, targets))
                quotients.append((clean - moved).norm(dim=1) / noise.flatten(1).norm(dim=1))
            yield torch.stack(quotients).mean()
