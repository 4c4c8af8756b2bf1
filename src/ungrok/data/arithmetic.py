"""Modular arithmetic: the problem in which grokking was first seen (Power et al. 2022, arXiv 2201.02177)."""

from __future__ import annotations

from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field

from ungrok.core.errors import RecipeError
from ungrok.core.memory import check_fits
from ungrok.data.base import PROBLEMS, Problem, Split
from ungrok.data.parts import cut


@PROBLEMS.register
class Modular(Problem):
    """Addition or multiplication modulo a prime, on all pairs (a, b).

    Inputs are float32 of shape (n, 2p): the one-hot codes of a and b side by side; the target is (a ∘ b) mod p.
    ``train_fraction`` of the p² pairs are trained on; the rest is halved into validation and test.
    """

    kind: Literal["modular"] = "modular"
    modulus: int = Field(53, ge=3, description="p, a prime")
    operation: Literal["addition", "multiplication"] = "addition"
    train_fraction: float = Field(0.5, gt=0, lt=1, description="share of the p² pairs that is trained on")

    def pool(self) -> tuple[Self, int]:
        """Return the problem with ``train_fraction`` doubled, and the number of pairs that are trained on."""
        return self._with(train_fraction=2 * self.train_fraction), round(self.train_fraction * self.modulus**2)

    def splits(self) -> tuple[Split, Split, Split, int]:
        """Return the three splits and p."""
        p = self.modulus
        check_fits(32 * p**3, "problem.modulus", f"the codes of {p}² pairs")
        if any(p % k == 0 for k in range(2, int(p**0.5) + 1)):
            raise RecipeError(f"problem.modulus: {p} is not a prime")
        a, b = torch.cartesian_prod(torch.arange(p), torch.arange(p)).unbind(1)
        result = (a + b) % p if self.operation == "addition" else (a * b) % p
        inputs = torch.cat([F.one_hot(a, p), F.one_hot(b, p)], dim=1).float()
        train = round(self.train_fraction * p * p)
        sizes = {"train_fraction": train, "validation": (p * p - train) // 2, "test": None}
        parts = cut(Split(inputs, result), sizes, self.data_seed)
        return parts[0], parts[1], parts[2], p
