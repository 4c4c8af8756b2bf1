"""Output perturbation: clip, add noise once, and fine-tune."""

from __future__ import annotations

from typing import Literal

from ungrok.core.accountant import Certificate, output_perturbation, output_perturbation_sigma
from ungrok.methods.base import UNLEARNERS
from ungrok.methods.certified import Certified


@UNLEARNERS.register
class OutputPerturbation(Certified):
    """Clip the weights around the start, hide in noise what is left of the forget set, and fine-tune on the retain set.

    Formula: ``θ ← θ_base + min(1, C₀/‖θ0 − θ_base‖)·(θ0 − θ_base) + N(0, σ²)``, then minimize ``L(r)`` over retain batches. With
    ``epsilon``, ``σ = 2·C₀·√(2·ln(1.25/δ))/ε``, or what the exact Gaussian profile asks for where that is more. What comes after the noise
    reads retain data alone and leaves the certificate as it is: no test tells the outcome from that of the same method on a model that was
    trained on the retain set by more than (ε, δ) allows.
    Paper: Koloskova et al. 2025 (arXiv 2506.06985), a baseline there.
    Public source: stair-lab/certified-unlearning-neural-networks-icml-2025 (MIT).
    Deviations: the source clips around 0, here around ``base``; the certificate is the same.
    Defaults: C0 1 and δ 1e-5 as in the source's CIFAR-10 runs; ε 1; fine-tuning for 10 epochs as finetune.
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    kind: Literal["output_perturbation"] = "output_perturbation"  # type: ignore[assignment]

    def noise(self, updates: int) -> float:  # noqa: ARG002
        """Return σ of the one draw."""
        return self.sigma or output_perturbation_sigma(self.clip, self.wanted, self.delta)

    def certificate(self, updates: int) -> Certificate:
        """Return what the noise certifies, however long the fine-tuning is."""
        return output_perturbation(self.clip, self.noise(updates))
