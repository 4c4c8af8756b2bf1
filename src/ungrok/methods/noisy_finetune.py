"""Certified noisy fine-tuning: clip, and add noise before and after every update."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator

from ungrok.core.accountant import Certificate, largest_distance, noisy_fine_tuning
from ungrok.methods.base import UNLEARNERS
from ungrok.methods.certified import Certified, Noise, clipping
from ungrok.methods.material import Material


@UNLEARNERS.register
class NoisyFinetune(Certified):
    """Clip the weights around the start, and fine-tune on the retain set with clipped gradients and noise on the weights throughout.

    Formula: ``θ ← θ_base + min(1, C₀/‖θ0 − θ_base‖)·(θ0 − θ_base) + N(0, σ²)``; then for every retain batch
    ``θ ← (1 − ηλ)·θ − η·min(1, C₁/‖g‖)·g + N(0, σ²)``, g the gradient of ``L(r)``. After T updates
    ``r = [ρ^T·2C₀ + 2ηC₁·Σ_{k<T} ρ^k] / (σ·√Σ_{k≤T} ρ^{2k})`` with ρ = 1 − ηλ, or the least of these so far, and
    ``δ(ε) = Q(ε/r − r/2) − e^ε·Q(ε/r + r/2)``. With ``epsilon``, σ is the least that will do.
    Paper: Koloskova et al. 2025 (arXiv 2506.06985), their gradient clipping.
    Public source: stair-lab/certified-unlearning-neural-networks-icml-2025 (MIT).
    Deviations: clipped around ``base`` instead of 0; noise before the first update, too; the exact profile instead of a Rényi bound. The
    last weights alone are covered, not those on the way, nor running statistics, which would keep them: these stay those of the start.
    Updates are those of plain SGD, of which alone the theorem speaks.
    Defaults: those of the source's CIFAR-10 runs: C0 1, C1 100, lr 1e-3, weight decay 500, 50 epochs, δ 1e-5; ε 1.
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    kind: Literal["noisy_finetune"] = "noisy_finetune"  # type: ignore[assignment]
    optimizer: Literal["sgd"] = "sgd"
    lr: float = Field(1e-3, gt=0, description="learning rate")
    momentum: float = Field(0.0, ge=0, le=0, description="momentum, of which the theorem allows none")
    weight_decay: float = Field(500.0, ge=0, description="added to the clipped gradient; times lr at most 1")
    batchnorm: Literal["eval"] = "eval"
    gradient_clip: float = Field(100.0, gt=0, description="C1, largest norm of the gradient of a batch")
    default_epochs: ClassVar[int] = 50

    @model_validator(mode="after")
    def _shrinking(self) -> Any:
        if self.lr * self.weight_decay > 1:
            raise ValueError(
                f"weight_decay {self.weight_decay} times lr {self.lr}: is above 1, where nothing is certified"
            )
        return self

    def noise(self, updates: int) -> float:
        """Return σ of every draw."""
        return self.sigma or self._certified(updates, 1.0).distance / largest_distance(self.wanted, self.delta)

    def certificate(self, updates: int) -> Certificate:
        """Return what is certified after so many updates."""
        return self._certified(updates, self.noise(updates))

    def _certified(self, updates: int, sigma: float) -> Certificate:
        return noisy_fine_tuning(
            self.clip, first_sigma=sigma, gradient_clip=self.gradient_clip, lr=self.lr, sigma=sigma, updates=updates,
            weight_decay=self.weight_decay,
        )  # fmt: skip

    def before_update(self, material: Material[Noise], optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """Clip the gradient; a weight that the batch did not reach has the gradient 0, so that it decays like the others."""
        weights = self.trainable(material.model)
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        share = clipping([weight.grad for weight in weights if weight.grad is not None], self.gradient_clip)
        for weight in weights:
            assert weight.grad is not None
            weight.grad.mul_(share)

    @torch.no_grad()
    def after_update(self, material: Material[Noise], optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """Add the noise."""
        for weight in self.trainable(material.model):
            weight.add_(material.state.like(weight))
