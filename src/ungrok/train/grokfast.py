"""Grokfast: add a slow average of past gradients to each gradient (Lee et al. 2024, arXiv 2405.20233)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.precision import wide_type
from ungrok.core.registry import Registry
from ungrok.core.schema import Schema


class GradientFilter(ABC):
    """Changes gradients in place before each update; its memory is part of a run's state.

    Args:
        parameters: All of them; a gradient that is missing when the filter is called counts as 0.
        strength: λ, the factor on the average.

    """

    def __init__(self, parameters: Sequence[nn.Parameter], strength: float) -> None:
        self.parameters = list(parameters)
        self.strength = strength

    @torch.no_grad()
    def __call__(self) -> None:
        """Replace every gradient g by ``g + λ·average``."""
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients: list[Tensor] = [p.grad for p in self.parameters]  # type: ignore[misc]
        averages = self.averages(gradients)
        if averages:
            torch._foreach_add_(gradients, averages, alpha=self.strength)

    @abstractmethod
    def averages(self, gradients: list[Tensor]) -> list[Tensor]:
        """Update the averages with new gradients and return them; an empty list while there are none yet."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return everything that later calls depend on."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what :meth:`state` returned."""


class Grokfast(Schema):
    """A filter that amplifies the slow component of the gradients."""

    kind: str
    strength: float = Field(gt=0, description="λ, the factor on the average")

    @abstractmethod
    def build(self, parameters: Sequence[nn.Parameter]) -> GradientFilter:
        """Return the filter over ``parameters``."""


GRADIENT_FILTERS: Registry[Grokfast] = Registry("gradient filter", "ungrok.gradient_filters", base=Grokfast)


class _Exponential(GradientFilter):
    def __init__(self, parameters: Sequence[nn.Parameter], strength: float, alpha: float) -> None:
        super().__init__(parameters, strength)
        self.alpha = alpha
        self.memory: list[Tensor] = []

    def averages(self, gradients: list[Tensor]) -> list[Tensor]:
        if self.memory:
            torch._foreach_lerp_(self.memory, gradients, 1 - self.alpha)
        else:
            self.memory = [gradient.clone() for gradient in gradients]
        return self.memory

    def state(self) -> dict[str, Tensor]:
        return {str(index): value for index, value in enumerate(self.memory)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self.memory = [
            torch.empty_like(p, dtype=wide_type(p.dtype)).copy_(tensors[str(i)])
            for i, p in enumerate(self.parameters)
            if tensors
        ]


class _Windowed(GradientFilter):
    """The last ``window`` gradients in a ring, and their sum in float64, so that a long run does not drift."""

    def __init__(self, parameters: Sequence[nn.Parameter], strength: float, window: int) -> None:
        super().__init__(parameters, strength)
        self.window, self.calls = window, 0
        self.ring = [p.new_zeros((window, *p.shape), dtype=wide_type(p.dtype)) for p in self.parameters]
        self.sums = [torch.zeros_like(p, dtype=torch.float64) for p in self.parameters]

    def averages(self, gradients: list[Tensor]) -> list[Tensor]:
        place = self.calls % self.window
        self.calls += 1
        for ring, total, gradient in zip(self.ring, self.sums, gradients, strict=True):
            total += gradient.double() - ring[place].double()
            ring[place] = gradient
        if self.calls < self.window:
            return []
        return [(total / self.window).to(g.dtype) for total, g in zip(self.sums, gradients, strict=True)]

    def state(self) -> dict[str, Tensor]:
        rings = {f"ring.{index}": value for index, value in enumerate(self.ring)}
        sums = {f"sum.{index}": value for index, value in enumerate(self.sums)}
        return rings | sums | {"calls": torch.tensor(self.calls)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        for index in range(len(self.parameters)):
            self.ring[index].copy_(tensors[f"ring.{index}"])
            self.sums[index].copy_(tensors[f"sum.{index}"])
        self.calls = int(tensors["calls"])


@GRADIENT_FILTERS.register
class GrokfastEMA(Grokfast):
    """Grokfast-EMA: ``m ← α·m + (1 − α)·g``, m = g at first; the update sees ``g + λ·m``."""

    kind: Literal["ema"] = "ema"
    strength: float = Field(2.0, gt=0, description="λ, the factor on the average")
    alpha: float = Field(0.98, ge=0, lt=1, description="momentum of the average")

    def build(self, parameters: Sequence[nn.Parameter]) -> GradientFilter:
        """Return the filter over ``parameters``."""
        return _Exponential(parameters, self.strength, self.alpha)


@GRADIENT_FILTERS.register
class GrokfastMA(Grokfast):
    """Grokfast-MA: m is the mean of the last ``window`` gradients, this one included.

    Nothing is added before there are ``window`` gradients. It holds that many in memory and in every checkpoint.
    """

    kind: Literal["ma"] = "ma"
    strength: float = Field(5.0, gt=0, description="λ, the factor on the average")
    window: int = Field(100, ge=1, description="gradients that are averaged")

    def build(self, parameters: Sequence[nn.Parameter]) -> GradientFilter:
        """Return the filter over ``parameters``."""
        return _Windowed(parameters, self.strength, self.window)
