"""Noise on the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.audits.base import STRESS_TESTS, Dose, Rates, Setting, StressMaterial, StressStep, StressTest
from ungrok.audits.weights import merge, tensors, values, write
from ungrok.core.precision import wide
from ungrok.core.seeds import generator


def noise(weight: Tensor, seed: int, name: str) -> Tensor:
    """Return Gaussian noise whose root mean square is expected to be that of the weight; shape of ``weight``, float32 at least.

    Args:
        weight: Any tensor.
        seed: Seed of the draw.
        name: Of the tensor; each has a draw of its own.

    """
    exact = wide(weight.detach())
    drawn = torch.randn(weight.shape, generator=generator(seed, "noise", name), dtype=exact.dtype)
    return drawn.to(weight.device) * exact.square().mean().sqrt()


@STRESS_TESTS.register
class WeightNoise(StressTest):
    """Add noise to every weight and bias.

    Idea: a narrow place in the space of weights, into which a short unlearning path may have led, is left by a small random step.
    Formula: ``w ← w + level·(‖w‖/√n)·ε`` for each tensor of n numbers, ε standard normal; one draw for each seed, scaled along the levels.
    Source: none; a control beside pruning and quantization, which move weights as far in directions that are not random.
    Deviations: none. Low-rank adapters are merged first; buffers stay.
    Cost: no updates.
    """

    dose: ClassVar[Dose] = "level"
    kind: Literal["weight_noise"] = "weight_noise"
    levels: Rates = Field((0.05, 0.1, 0.2, 0.4), description="norms of the noise, in norms of the tensor")

    @torch.no_grad()
    def steps(self, model: nn.Module, material: StressMaterial, setting: Setting) -> Iterator[StressStep]:  # noqa: ARG002
        """Yield the model as it is, and with more and more noise."""
        yield StressStep(0, 0, model)
        merge(model)
        weights = tensors(model)
        start = values(weights)
        drawn = {name: noise(value, material.seed, name) for name, value in start.items()}
        for level in sorted(self.levels):
            write(weights, {name: wide(value) + level * drawn[name] for name, value in start.items()})
            yield StressStep(level, 0, model)
