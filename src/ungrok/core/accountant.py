"""The accountant of schemes that certify: how much noise makes an unlearned model indistinguishable from one that never saw the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ungrok.core.errors import RecipeError


@dataclass(frozen=True)
class Certificate:
    """What a mechanism certifies: that of one Gaussian whose mean moves by ``distance`` standard deviations.

    Args:
        distance: r, at least 0.

    """

    distance: float

    def delta(self, epsilon: float) -> float:
        """Return δ at ε by :func:`gaussian_delta`."""
        return gaussian_delta(epsilon, self.distance)

    def epsilon(self, delta: float) -> float:
        """Return the least ε ≥ 0 at which δ is no larger than ``delta``.

        Raises:
            RecipeError: If ``delta`` does not lie between 0 and 1.

        """
        from scipy.optimize import brentq

        _between("delta", delta)
        if self.delta(0) <= delta:
            return 0.0
        high = 1.0
        while self.delta(high) > delta:
            high *= 2
        return float(brentq(lambda epsilon: self.delta(epsilon) - delta, 0, high, xtol=1e-12))


@dataclass(frozen=True)
class Promise:
    """What a method certifies of the model at the end of its path, whatever becomes of that model afterwards.

    Args:
        sigma: σ, standard deviation of the noise on each weight.
        distance: r of the :class:`Certificate`.
        epsilon: The least ε at δ.
        delta: δ.

    """

    sigma: float
    distance: float
    epsilon: float
    delta: float

    @classmethod
    def of(cls, certificate: Certificate, sigma: float, delta: float) -> Promise:
        """Return what a certificate says at δ."""
        return cls(sigma, certificate.distance, certificate.epsilon(delta), delta)

    def __str__(self) -> str:
        at_one = gaussian_delta(1, self.distance)
        return (
            f"certifies ε = {self.epsilon:.3g} at δ = {self.delta:g} and δ = {at_one:.3g} at ε = 1, "
            f"by noise of σ = {self.sigma:.4g} on every weight (r = {self.distance:.3g})"
        )


def gaussian_delta(epsilon: float, distance: float) -> float:
    """Return ``δ(ε) = Q(ε/r − r/2) − e^ε·Q(ε/r + r/2)``, exact for a Gaussian mechanism (Balle & Wang, arXiv 1805.06530, theorem 8).

    Args:
        epsilon: ε, at least 0.
        distance: r, the distance of the means in standard deviations, at least 0.

    Raises:
        RecipeError: If either is negative.

    """
    from scipy.special import log_ndtr, ndtr

    if not (epsilon >= 0 and distance >= 0):
        raise RecipeError(f"epsilon: {epsilon} and distance: {distance} must not be negative")
    if distance == 0:
        return 0.0
    if math.isinf(distance):
        return 1.0
    above = float(ndtr(distance / 2 - epsilon / distance))
    return max(0.0, above - math.exp(epsilon + float(log_ndtr(-distance / 2 - epsilon / distance))))


def largest_distance(epsilon: float, delta: float) -> float:
    """Return the largest r at which :func:`gaussian_delta` at ε is no more than δ.

    Args:
        epsilon: ε, positive.
        delta: δ, between 0 and 1.

    Raises:
        RecipeError: If an argument is not allowed.

    """
    from scipy.optimize import brentq

    _positive(epsilon=epsilon)
    _between("delta", delta)
    low = high = 1.0
    while gaussian_delta(epsilon, low) > delta:
        low /= 2
    while gaussian_delta(epsilon, high) <= delta:
        high *= 2
    return float(brentq(lambda r: gaussian_delta(epsilon, r) - delta, low, high, xtol=1e-15, rtol=1e-14))


def output_perturbation_sigma(
    clip: float, epsilon: float, delta: float, *, rule: Literal["source", "exact"] = "source"
) -> float:
    """Return the standard deviation of the noise that certifies (ε, δ) for weights clipped at norm ``clip`` around a fixed start.

    Two clipped models are at most ``2·clip`` apart. What follows, for instance fine-tuning on retain data, leaves the certificate as it is.

    Args:
        clip: C₀, positive.
        epsilon: ε, positive.
        delta: δ, between 0 and 1.
        rule: ``source``: ``2·C₀·√(2·ln(1.25/δ))/ε``, as in Koloskova et al., arXiv 2506.06985, and their public code (MIT). It is proved for
            ε ≤ 1; above, where the exact rule asks for more, that is returned. ``exact``: the least noise that will do, from
            :func:`gaussian_delta`.

    Raises:
        RecipeError: If an argument is not allowed.

    """
    if rule not in ("source", "exact"):
        raise RecipeError(f"rule: {rule!r} is none of source, exact")
    _positive(clip=clip)
    exact = 2 * clip / largest_distance(epsilon, delta)
    if rule == "exact" or delta >= 1.25:
        return exact
    return max(exact, 2 * clip * math.sqrt(2 * math.log(1.25 / delta)) / epsilon)


def output_perturbation(clip: float, sigma: float) -> Certificate:
    """Return what noise of one standard deviation certifies after clipping: ``r = 2·C₀/σ``.

    Args:
        clip: C₀, the norm at which weights are clipped around a fixed start, positive.
        sigma: σ, at least 0; without noise nothing is certified.

    Raises:
        RecipeError: If an argument is not allowed.

    """
    return noisy_fine_tuning(clip, first_sigma=sigma)


def noisy_fine_tuning(
    clip: float,
    *,
    first_sigma: float = 0.0,
    gradient_clip: float = 0.0,
    lr: float = 0.0,
    sigma: float = 0.0,
    updates: int = 0,
    weight_decay: float = 0.0,
) -> Certificate:
    """Return what noisy fine-tuning on retain data certifies: clip, add noise, then ``w ← ρ·w − η·clipped gradient + noise``.

    ``ρ = 1 − ηλ``. After t updates two runs, of which one began at a model that never saw the forget set, are told apart no better than
    ``r_t = [ρ^t·2C₀ + 2ηC₁·Σρ^k] / √(ρ^{2t}·σ₀² + σ²·Σρ^{2k})`` allows, sums over k < t (Koloskova et al., arXiv 2506.06985, theorem on
    gradient clipping, whose Rényi divergence of order q is ``q·r²/2``; that the whole profile is Gaussian follows as in
    Bok, Su & Altschuler, arXiv 2403.00278). Both runs do the same from any update on, so that the least r_t so far holds.

    Args:
        clip: C₀, the norm at which weights are clipped around a fixed start, positive.
        first_sigma: σ₀, of the noise on the clipped weights.
        gradient_clip: C₁, the norm at which the gradient of a batch is clipped.
        lr: η.
        sigma: σ, of the noise on the weights after each update.
        updates: T.
        weight_decay: λ; ηλ at most 1.

    Raises:
        RecipeError: If an argument is not allowed.

    """
    _positive(clip=clip)
    given = {"first_sigma": first_sigma, "gradient_clip": gradient_clip, "lr": lr, "sigma": sigma, "updates": updates}
    for name, value in (given | {"weight_decay": weight_decay}).items():
        if not 0 <= value < math.inf:
            raise RecipeError(f"{name}: {value} must be finite and not negative")
    shrink = 1 - lr * weight_decay
    if shrink < 0:
        raise RecipeError(f"weight_decay: {weight_decay} times lr: {lr} must not exceed 1")
    apart, variance, least = 2 * clip, first_sigma**2, math.inf
    for update in range(updates + 1):
        if update:
            apart, variance = shrink * apart + 2 * lr * gradient_clip, shrink**2 * variance + sigma**2
        if apart == 0:
            return Certificate(0.0)
        if variance > 0:
            least = min(least, apart / math.sqrt(variance))
    return Certificate(least)


def _positive(**given: float) -> None:
    for name, value in given.items():
        if not 0 < value < math.inf:
            raise RecipeError(f"{name}: {value} must be positive and finite")


def _between(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise RecipeError(f"{name}: {value} must lie between 0 and 1")
