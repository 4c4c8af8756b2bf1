"""The paper's toy model of gradient correlation, p·ρ, fitted to measured gradients and activations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ungrok.analyze.base import Null
from ungrok.core.seeds import generator

FIT = ("p", "overlap", "rho", "predicted", "mean_cosine", "r2")
"""Numbers of a fit, by name."""


@dataclass(frozen=True)
class ModuleFit:
    """The model ``cosine of two examples = ρ · overlap`` and how well it holds.

    Args:
        p: Mean share of units that are active, in [0, 1].
        overlap: Mean overlap of two different examples; equals p where units are independent and equally active.
        rho: Least-squares slope through the origin of the cosines on the overlaps.
        predicted: The model's mean cosine, p·ρ.
        mean_cosine: The measured mean cosine of two different examples.
        r2: 1 − residual sum of squares / sum of squares about the mean; negative where a constant fits better.
        null: ``r2`` when the examples' activations are exchanged at random.

    """

    p: float
    overlap: float
    rho: float
    predicted: float
    mean_cosine: float
    r2: float
    null: Null | None

    def values(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {name: getattr(self, name) for name in FIT}


def overlap(active: Tensor) -> Tensor:
    """Return ``|S_i ∩ S_j| / √(|S_i||S_j|)`` for the sets of active units of all pairs of examples.

    Args:
        active: bool, shape (n, units).

    Returns:
        float64, shape (n, n), in [0, 1]; 0 for an example without active units. Counts are exact up to 2²⁴ units.

    """
    seen = active.float()
    shared = (seen @ seen.T).double()
    size = shared.diagonal().clamp(min=1).sqrt()
    return shared / (size.unsqueeze(0) * size.unsqueeze(1))


def fit_modules(cosines: Tensor, active: Tensor, seed: int = 0, draws: int = 50) -> ModuleFit:
    """Fit the paper's model of gradients made of modules.

    A gradient is a sum over the active ones of many modules, ``g_i = Σ_m a_im·h_im``, each active with probability p
    and independently, the parts of one module correlated by ρ between examples: ``E cos(g_i, g_j) = p·ρ``. For two given
    examples the model says ``cos = ρ · |S_i ∩ S_j| / √(|S_i||S_j|)``, whose expectation that is. Modules are taken to be
    hidden units, active where their pre-activation is positive.

    Source: arXiv 2512.03437, which states the expectation and fits nothing.
    Caveat: ρ alone absorbs any mean level of the cosines; whether activity explains them is read off r2.
    Cost: n²·units multiplications, and n² per draw.

    Args:
        cosines: float64, shape (n, n): cosines of the per-sample gradients.
        active: bool, shape (n, units).
        seed: Seed of the null.
        draws: Draws of the null.

    """
    pairs = ~torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    shared, y = overlap(active), cosines[pairs]
    rho, r2 = _slope(shared[pairs], y)
    draw = generator(seed, "modules")
    orders = [torch.randperm(len(cosines), generator=draw).to(cosines.device) for _ in range(draws)]
    null = Null.of([_slope(shared[o][:, o][pairs], y)[1] for o in orders])
    p = active.double().mean().item()
    return ModuleFit(p, shared[pairs].mean().item(), rho, p * rho, y.mean().item(), r2, null)


def _slope(x: Tensor, y: Tensor) -> tuple[float, float]:
    slope = (x @ y / (x @ x)).item()
    about_mean = (y - y.mean()).square().sum()
    return slope, 1 - ((y - slope * x).square().sum() / about_mean).item()
