"""Setting the smallest weights to zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.audits.base import STRESS_TESTS, Dose, Setting, Shares, StressMaterial, StressStep, StressTest
from ungrok.audits.weights import matrices, merge, values, write


def ranks(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return, for every weight, how many of all weights are smaller in absolute value, int64 of its shape; ties by their order."""
    flat = torch.cat([value.detach().abs().flatten().double() for value in weights.values()])
    rank = torch.empty_like(flat, dtype=torch.int64)
    rank[flat.argsort(stable=True)] = torch.arange(len(flat), device=flat.device)
    parts = rank.split([value.numel() for value in weights.values()])
    return {name: part.view_as(value) for (name, value), part in zip(weights.items(), parts, strict=True)}


@STRESS_TESTS.register
class Prune(StressTest):
    """Set the smallest weights of the model to zero.

    Idea: knowledge that is only masked, by small changes of many weights, shows again when the small ones are gone.
    Formula: ``w ← 0`` for the ``round(share · n)`` of all n weights with the smallest ``|w|``, over all layers together.
    Source: magnitude pruning (Han et al. 2015, arXiv 1506.02626), without training afterwards.
    Deviations: weights of two dimensions or more only, frozen ones too. Low-rank adapters are merged first.
    Cost: no updates; all weights are sorted once.
    """

    dose: ClassVar[Dose] = "share"
    kind: Literal["prune"] = "prune"
    shares: Shares = Field((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), description="shares of all weights that become 0")

    @torch.no_grad()
    def steps(self, model: nn.Module, material: StressMaterial, setting: Setting) -> Iterator[StressStep]:  # noqa: ARG002
        """Yield the model as it is, and with more and more zeros."""
        yield StressStep(0, 0, model)
        merge(model)
        weights = matrices(model)
        start, rank = values(weights), ranks(weights)
        count = sum(value.numel() for value in start.values())
        for share in sorted(self.shares):
            zeros = round(share * count)
            write(weights, {name: value.masked_fill(rank[name] < zeros, 0) for name, value in start.items()})
            yield StressStep(share, 0, model)
