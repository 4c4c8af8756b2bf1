"""Fisher forgetting: noise where the retain set does not hold the weights in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.gradients import diagonal_fisher
from ungrok.methods.base import UNLEARNERS, OneShot, Strengths
from ungrok.methods.material import Material, Role


def noise_variance(fisher: Tensor, outputs: int) -> Tensor:
    """Turn a parameter's diagonal Fisher information into the variance of its noise at strength 1.

    ``1/(F + 1e-8)`` clamped at 1e3 (1e2 in the last layer), averaged over dim 1 for matrices and kernels, times 10 for
    the last layer and for one-dimensional parameters. A parameter belongs to the last layer if its first dimension is
    the number of outputs.

    Args:
        fisher: The parameter's shape, non-negative.
        outputs: Number of logits.

    """
    last = fisher.shape[:1] == (outputs,)
    variance = (1 / (fisher + 1e-8)).clamp(max=1e2 if last else 1e3)
    if variance.ndim > 1:
        variance = variance.mean(dim=1, keepdim=True).expand_as(fisher)
    return variance * (10 if last or fisher.ndim < 2 else 1)


@UNLEARNERS.register
class Fisher(OneShot):
    """Add to every weight noise whose variance is the inverse of its Fisher information on the retain set.

    Formula: ``θ ← θ0 + √(α·v)·z``, z standard normal, v from :func:`noise_variance` of the diagonal Fisher information on
    the retain set, its expectation taken over the model's own predictive distribution: ``F = E_r Σ_y p(y|x)·(∂ log p(y|x))²``.
    Paper: Golatkar et al. 2020 (arXiv 1911.04933).
    Public source: AdityaGolatkar/SelectiveForgetting, ``hessian`` and ``get_mean_var``, also in meghdadk/SCRUB. ``fisher_new`` of
    OPTML-Group/Unlearn-Saliency squares gradients of batches of 32: the same at batch size 1 only.
    Deviations: the source also resets the output row of a wholly forgotten class; this does not, since it is told only
    which data to forget. One draw of z serves every strength, so that the path is a path.
    Defaults: α 1e-7, as in the SCRUB repository; the SSD repository uses 1e-6.
    Cost: one backward pass per class over the retain data; none over the forget data.
    """

    reads: ClassVar[tuple[Role, ...]] = ("retain",)
    kind: Literal["fisher"] = "fisher"
    alpha: Strengths = Field((1e-7,), description="strengths α, in units of squared weight times squared gradient")
    chunk: int = Field(64, ge=1, description="examples that are differentiated at once")

    def doses(self) -> tuple[float, ...]:
        """Return α, increasing."""
        return tuple(sorted(self.alpha))

    def prepare(self, material: Material) -> Callable[[float], None]:
        """Draw the noise of strength 1."""
        model = material.model
        fisher, outputs = diagonal_fisher(model, material.batches("retain"), material.objective, self.chunk)
        draw = torch.Generator().manual_seed(material.seed)
        moves = []
        for name, parameter in model.named_parameters():
            if name in fisher:
                z = torch.randn(parameter.shape, generator=draw, dtype=fisher[name].dtype).to(parameter.device)
                noise = noise_variance(fisher[name], outputs).sqrt() * z
                moves.append((parameter, parameter.detach().clone(), noise))

        def move(alpha: float) -> None:
            for parameter, start, noise in moves:
                parameter.copy_(start + alpha**0.5 * noise)

        return move
