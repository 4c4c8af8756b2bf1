"""JiT: zero-shot unlearning by Lipschitz regularization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.forms import inputs_of
from ungrok.methods.base import UNLEARNERS, Iterative
from ungrok.methods.material import Material, Role, length


def lipschitz_quotients(outputs: Tensor, moved_outputs: Tensor, inputs: Tensor, moved: Tensor) -> Tensor:
    """Return ``‖θ(x) − θ(x')‖₂ / ‖x − x'‖₂`` per example, shape (n,).

    Args:
        outputs: θ(x), shape (n, classes).
        moved_outputs: θ(x'), same shape.
        inputs: x, shape (n, ...).
        moved: x', same shape.

    """
    quotients: Tensor = (outputs - moved_outputs).norm(dim=1) / (moved - inputs).flatten(1).norm(dim=1)
    return quotients


@UNLEARNERS.register
class JiT(Iterative):
    """Make the output insensitive to perturbations of each forget input, so that it no longer stands out.

    Formula: minimize, summed over the forget examples x of a batch and averaged over K draws η ~ N(0, σ²),
    ``‖θ(x) − θ(x')‖₂ / ‖x − x'‖₂``, x' being x + η clamped to the range of the batch.
    Paper: Foster et al. 2024 (arXiv 2402.01401).
    Public source: jwf40/Zeroshot-Unlearning-At-Scale, ``lipschitz.Lipschitz.modify_weight`` (model in train mode).
    Deviations: the source takes θ(x') as a constant to the gradient, which then flattens nothing; ``stop_gradient=True`` does so
    too. The source never clears its gradients, so that every update repeats those before it; here each stands alone.
    Defaults: K 25, SGD 3e-4 without momentum or weight decay, 1 epoch, σ 0.5 in units of the input, as in the source (VGG-16,
    class forgetting; σ 0.01 for random examples). The sum makes lr depend on the batch size; the source has 128.
    Cost: K + 1 forward passes over the forget data per epoch; neither labels nor retain data are used.

    Why it is here: it smooths the function around forget points, which is what arXiv 2512.03437 says grokking has done already.
    """

    inputs: ClassVar[tuple[str, ...]] = ("classifier",)
    needs: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[Role, ...]] = ("forget",)
    kind: Literal["jit"] = "jit"
    lr: float = Field(3e-4, gt=0, description="learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum of SGD; other optimizers ignore it")
    weight_decay: float = Field(0.0, ge=0, description="added to the gradient (decoupled for adamw)")
    draws: int = Field(25, ge=1, description="K, perturbations per example")
    sigma: float = Field(0.5, gt=0, description="σ, in units of the input")
    stop_gradient: bool = Field(False, description="take the perturbed outputs as constants, as the public source does")
    default_epochs: ClassVar[int] = 1

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of forget batches."""
        return length(material.forget)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the sum of local Lipschitz quotients over the forget batches in order."""
        draw, objective = material.generator("perturbations"), material.objective
        for batch in material.endless("forget"):
            inputs, quotients = inputs_of(batch, self.kind, moved=True), []
            clean = objective.logits(material.model, batch)
            for _ in range(self.draws):
                noise = (self.sigma * torch.randn(inputs.shape, generator=draw, dtype=inputs.dtype)).to(inputs.device)
                moved = (inputs + noise).clamp(inputs.min(), inputs.max())
                with torch.set_grad_enabled(not self.stop_gradient):
                    perturbed = objective.logits(material.model, (moved, *batch[1:]))
                quotients.append(lipschitz_quotients(clean, perturbed, inputs, moved))
            yield torch.stack(quotients).mean(0).sum()
