"""The local learning coefficient: how fast volume grows with loss around the weights, by Langevin sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import log
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ungrok.analyze.base import ANALYSES, Analysis, Reading, Subject, chunks, pool, select
from ungrok.analyze.krylov import Matmul, lanczos, random_start, spectral_density
from ungrok.analyze.operators import flat, hessian, parameters, size
from ungrok.analyze.sharpness import Moved
from ungrok.core.gradients import gradient
from ungrok.core.objective import Batch
from ungrok.core.seeds import generator

NODES = 30
"""Lanczos steps of each start of the spectral density."""

LossAndGradient = Callable[[Tensor, int], tuple[float, Tensor]]
"""Maps (w − w*, step) to the excess loss ``L(w) − L(w*)`` of the step's batch and its gradient; float64, shape (p,)."""


def sgld(
    excess: LossAndGradient,
    dimensions: int,
    steps: int,
    step_size: float,
    inverse: float,
    pull: float,
    draw: torch.Generator,
) -> Tensor:
    """Sample weights near w* from ``exp(−nβ·L(w) − γ/2·‖w − w*‖²)`` and return the excess losses on the way.

    Stochastic gradient Langevin dynamics, ``w ← w − ε/2·(nβ·∇L + γ(w − w*)) + √ε·z`` (Welling & Teh 2011).

    Args:
        excess: The loss above that at w*, and its gradient.
        dimensions: p.
        steps: Length of the chain; it starts at w*.
        step_size: ε.
        inverse: nβ.
        pull: γ.
        draw: Source of the noise.

    Returns:
        float64, shape (steps,): excess loss before each move; nan from where the chain diverges.

    """
    w = torch.zeros(dimensions, dtype=torch.float64)
    losses = torch.full((steps,), float("nan"), dtype=torch.float64)
    for t in range(steps):
        loss, gradient = excess(w, t)
        if not torch.isfinite(gradient).all():
            break
        losses[t] = loss
        noise = torch.randn(dimensions, generator=draw, dtype=torch.float64)
        w = w - step_size / 2 * (inverse * gradient + pull * w) + step_size**0.5 * noise
    return losses


def split_r_hat(chains: Tensor) -> float:
    """Return the potential scale reduction of halved chains (Gelman et al. 2013, section 11.4); 1 where they agree.

    Args:
        chains: float64, shape (chains, steps), at least 4 steps.

    """
    half = chains.shape[1] // 2
    parts = torch.cat([chains[:, :half], chains[:, -half:]])
    within, between = parts.var(dim=1).mean(), half * parts.mean(dim=1).var()
    return (((half - 1) / half * within + between / half) / within).sqrt().item()


def effective_size(chains: Tensor) -> float:
    """Return the number of independent draws that the chains are worth (Gelman et al. 2013, section 11.5).

    Autocorrelations are summed up to the first pair of lags whose sum is negative (Geyer 1992).

    Args:
        chains: float64, shape (chains, steps).

    """
    count, steps = chains.shape
    centered = chains - chains.mean(dim=1, keepdim=True)
    power = torch.fft.rfft(centered, n=2 * steps).abs().square()
    covariance = torch.fft.irfft(power, n=2 * steps)[:, :steps].mean(dim=0) / steps
    within = chains.var(dim=1).mean()
    means = chains.mean(dim=1)
    total = (steps - 1) / steps * within + (means.var() if count > 1 else 0)
    rho = 1 - (within - covariance * steps / (steps - 1)) / total
    pairs = rho[: steps // 2 * 2].view(-1, 2).sum(dim=1)
    negative = (pairs < 0).nonzero()
    kept = pairs[: int(negative[0])] if len(negative) else pairs
    time = max(float(2 * kept.sum() - 1), 1 / steps)
    return min(count * steps / time, float(count * steps))


def regular(values: Tensor, weights: Tensor, size: int, inverse: float, pull: float) -> float:
    """Return λ of a quadratic minimum under the pull, ``½·Σ nβh/(nβh + γ)`` over the eigenvalues h of its Hessian.

    Without a pull, or where every nβh is far above γ, that is d/2; directions much flatter than γ/(nβ) do not count. Negative
    eigenvalues count as 0.

    Args:
        values: float64, shape (m,): nodes of the spectral density, or all eigenvalues.
        weights: float64, shape (m,): their weights, which add up to 1.
        size: d.
        inverse: nβ; with β = 1/log n it is n/log n.
        pull: γ.

    """
    sharp = inverse * values.clamp(min=0)
    shares = torch.where(sharp > 0, sharp / (sharp + pull), 0.0)
    return size / 2 * float((weights * shares).sum())


@ANALYSES.register
class LearningCoefficient(Analysis):
    """Local learning coefficient λ of the training data by SGLD, with what tells whether the chains can be trusted.

    ``λ = nβ·(E L(w) − L(w*))`` under the tempered posterior near w*, β = 1/log n, held near by the pull γ. ``llc``: mean over chains; ``llc_sd``: between chains; ``llc_r_hat`` (above 1.1: not mixed),
    ``llc_effective_size``, ``llc_negative`` (share of draws below L(w*): w* is no minimum), ``llc_diverged`` (chains lost) and
    ``llc_regular``, the value for a quadratic minimum of this Hessian under the same pull, to compare with: ``½·Σ nβh/(nβh + γ)``
    over its eigenvalues h, d/2 without a pull. λ below that is a degenerate minimum.
    Both terms use the step's own batch, so that most of the batch noise cancels. By default ε is half the inverse of the
    largest eigenvalue of nβ·H + γ (``llc_step_size``): the bias of the sharpest direction is then 1/(1 − 1/8).
    Source: Lau et al. 2023 (arXiv 2308.12108). Cost: ``chains``·``steps`` updates and forward passes of a batch, and 30·``probes``
    products with the Hessian of all examples.
    """

    needs: ClassVar[tuple[str, ...]] = ("forget", "retain")
    kind: Literal["learning_coefficient"] = "learning_coefficient"
    chains: int = Field(4, ge=2, description="independent chains")
    steps: int = Field(400, ge=8, description="updates per chain")
    burn_in: int = Field(200, ge=0, description="updates at the start of a chain that do not count")
    step_size: float | None = Field(
        None, gt=0, description="ε, in units of the weights squared; from the curvature when null"
    )
    localization: float = Field(100.0, ge=0, description="γ, pull back to the weights")
    batch_size: int = Field(256, ge=1, description="examples per update")
    probes: int = Field(2, ge=1, description="random starts of the spectral density behind llc_regular")

    @model_validator(mode="after")
    def _long_enough(self) -> LearningCoefficient:
        if self.burn_in > self.steps - 4:
            raise ValueError(
                f"burn_in: {self.burn_in} leaves under 4 of {self.steps} steps; allowed: 0 to {self.steps - 4}"
            )
        return self

    def beside(self) -> frozenset[str]:
        """Return the diagnostics of the chains, and the value for a quadratic minimum."""
        chains = {"llc_sd", "llc_r_hat", "llc_effective_size", "llc_negative", "llc_diverged", "llc_step_size"}
        return frozenset({*chains, "llc_regular"})

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield λ and its diagnostics."""
        batch, forget, retain = pool(subject, 2**62)
        count = len(forget) + len(retain)
        if count < 3:
            return
        inverse = count / log(count)
        matmul, p = hessian(subject.model, list(chunks(batch, count, 500)), subject.objective), size(subject.model)
        step_size = self.step_size or self._stable(matmul, p, inverse, subject.seed)
        spectrum = self._spectrum(matmul, p, subject.seed)
        chains = torch.stack([self._chain(subject, batch, count, inverse, step_size, k) for k in range(self.chains)])
        kept = chains[:, self.burn_in :]
        whole = kept[torch.isfinite(kept).all(dim=1)] * inverse
        nan = float("nan")
        values = {
            "llc": whole.mean().item() if len(whole) else nan,
            "llc_sd": whole.mean(dim=1).std().item() if len(whole) > 1 else nan,
            "llc_r_hat": split_r_hat(whole) if len(whole) else nan,
            "llc_effective_size": effective_size(whole) if len(whole) else nan,
            "llc_negative": (whole < 0).double().mean().item() if len(whole) else nan,
            "llc_diverged": float(self.chains - len(whole)),
            "llc_regular": regular(*spectrum, p, inverse, self.localization),
            "llc_step_size": step_size,
        }
        units = {"llc_effective_size": "draws", "llc_diverged": "chains"}
        for name, value in values.items():
            yield Reading(name, "forget+retain", value, units.get(name, "1"), examples=count)

    def _spectrum(self, matmul: Matmul, p: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return all eigenvalues where that takes no more products than their density does, else its nodes; and weights."""
        if p <= NODES * self.probes:
            values = torch.linalg.eigvalsh(matmul(torch.eye(p, dtype=torch.float64)))
            return values, torch.full_like(values, 1 / p)
        return spectral_density(matmul, p, NODES, self.probes, seed)

    def _stable(self, matmul: Matmul, p: int, inverse: float, seed: int) -> float:
        sharpest = lanczos(matmul, random_start(p, seed, "step size"), 10).values[-1].item()
        return 0.5 / (inverse * max(sharpest, 0.0) + max(self.localization, 1e-12))

    def _chain(
        self, subject: Subject, batch: Batch, count: int, inverse: float, step_size: float, number: int
    ) -> Tensor:
        model, objective, weights = subject.model, subject.objective, parameters(subject.model)
        draw = generator(subject.seed, "sgld", number)
        order = torch.randperm(count, generator=draw)
        parts = list(chunks(select(batch, order), count, min(self.batch_size, count)))
        with Moved(model) as moved:
            with torch.no_grad():
                start = [objective.losses(objective.logits(model, part), part).double().mean() for part in parts]

            def excess(step: Tensor, t: int) -> tuple[float, Tensor]:
                part = parts[t % len(parts)]
                moved.to(step)
                with torch.enable_grad():
                    loss = objective.losses(objective.logits(model, part), part).double().mean()
                    slope = flat(gradient(loss, weights))
                return (loss.detach() - start[t % len(parts)]).item(), slope

            return sgld(excess, size(model), self.steps, step_size, inverse, self.localization, draw)
