"""Rounding the weights to a few bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.audits.base import STRESS_TESTS, Dose, Setting, Several, StressMaterial, StressStep, StressTest
from ungrok.audits.weights import channel, matrices, merge, values, write

FULL = 32
"""The dose of weights that have not been rounded."""


def rounded(weight: Tensor, bits: int, axis: int = 0) -> Tensor:
    """Round a weight to the nearest point of a symmetric grid, one grid for each output channel.

    ``q = round(w·Q/m)``, ``w ← q·m/Q`` with ``Q = 2^(bits − 1) − 1`` and m the largest absolute weight of the channel, in float64. Halves
    go to the even number. A weight that is on its grid stays what it is, bit for bit.

    Args:
        weight: Of two dimensions or more.
        bits: From 2.
        axis: Dimension of the output channels.

    Returns:
        Shape and dtype of ``weight``.

    """
    most = 2 ** (bits - 1) - 1
    exact = weight.double()
    others = [d for d in range(weight.ndim) if d != axis]
    largest = exact.abs().amax(others, keepdim=True)
    steps = (exact * most / largest.where(largest > 0, 1.0)).round()
    near: Tensor = steps * largest / most
    return near.to(weight.dtype)


@STRESS_TESTS.register
class Quantize(StressTest):
    """Round every weight to the nearest of a few values, as is done to run a model on smaller machines.

    Idea: an unlearning update that is smaller than half a step of the grid is rounded away, and the original model comes back.
    Formula: see :func:`rounded`; weights of two dimensions or more, frozen ones too; biases, normalization and activations stay.
    Source: Zhang et al. 2024 (arXiv 2410.16454), round-to-nearest at 8 and 4 bits.
    Deviations: one grid for each output channel instead of each group of weights; 3 and 2 bits besides. Low-rank adapters are merged first.
    Cost: no updates; one pass over the weights for each number of bits.
    """

    dose: ClassVar[Dose] = "bits"
    kind: Literal["quantize"] = "quantize"
    bits: Annotated[tuple[Annotated[int, Field(ge=2, le=16)], ...], *Several] = Field(
        (8, 4, 3, 2), description="bits of a weight; each becomes a place on the path"
    )

    @torch.no_grad()
    def steps(self, model: nn.Module, material: StressMaterial, setting: Setting) -> Iterator[StressStep]:  # noqa: ARG002
        """Yield the model as it is, at the dose :data:`FULL`, and with fewer and fewer bits."""
        yield StressStep(FULL, 0, model)
        merge(model)
        weights = matrices(model)
        start = values(weights)
        for bits in sorted(self.bits, reverse=True):
            write(weights, {name: rounded(value, bits, channel(model, name)) for name, value in start.items()})
            yield StressStep(bits, 0, model)
