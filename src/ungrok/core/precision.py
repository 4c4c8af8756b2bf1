"""Weights of few bits: they are updated in float32, and gradients are added up in float32 at least."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ungrok.core.objective import Batch, Objective


def wide_type(dtype: torch.dtype) -> torch.dtype:
    """Return float32 for a floating-point type of fewer bits, any other type as it is."""
    return torch.float32 if dtype.is_floating_point and dtype.itemsize < 4 else dtype


def wide(x: Tensor) -> Tensor:
    """Return a tensor in float32 if its floating-point type has fewer bits, else the tensor itself."""
    kind = wide_type(x.dtype)
    return x if kind == x.dtype else x.to(kind)


class Masters:
    """Float32 copies of the bfloat16 and float16 parameters of a model, which updates move in their place.

    A bfloat16 number has 8 significant bits, so that an update of less than 1/256 of a weight would mostly be rounded away
    (Micikevicius et al. 2018, arXiv 1710.03740). Other parameters stay alone: with none of few bits, nothing here does anything.

    Args:
        parameters: Those that an optimizer is given; leaves.

    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.low = [p for p in parameters if wide_type(p.dtype) != p.dtype]
        self.values = [p.detach().float() for p in self.low]
        """float32, one per parameter in ``low``; the parameter is its rounded value."""
        self._sums: list[Tensor | None] = [None] * len(self.low)

    def restore(self, values: Sequence[Tensor]) -> None:
        """Continue from the ``values`` of earlier masters of the same parameters, which are not moved."""
        for mine, value in zip(self.values, values, strict=True):
            mine.copy_(value)

    def gathered(self) -> AbstractContextManager[None]:
        """Add up in float32 the gradients of all backward passes of the block; :meth:`widened` puts them into ``grad``."""
        return self._gathered() if self.low else nullcontext()

    @contextmanager
    def _gathered(self) -> Iterator[None]:
        self._sums = [None] * len(self.low)
        handles = [p.register_post_accumulate_grad_hook(self._gather(i)) for i, p in enumerate(self.low)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _gather(self, index: int) -> Callable[[Tensor], None]:
        def add(parameter: Tensor) -> None:
            total, gradient = self._sums[index], parameter.grad
            assert gradient is not None
            self._sums[index] = gradient.float() if total is None else total.add_(gradient)
            parameter.grad = None

        return add

    def widened(self) -> AbstractContextManager[None]:
        """Make the parameters and their ``grad`` float32 inside the block, and round the parameters when it ends.

        An optimizer that steps inside the block keeps its state in float32. A parameter that something else has moved since the
        last block starts from where it is.
        """
        return self._widened() if self.low else nullcontext()

    @contextmanager
    def _widened(self) -> Iterator[None]:
        stored = [p.data for p in self.low]
        for index, (parameter, value) in enumerate(zip(self.low, self.values, strict=True)):
            low, total, gradient = stored[index], self._sums[index], parameter.grad
            value.copy_(torch.where(value.to(low.dtype) == low, value, low))
            if gradient is not None:
                total = gradient.float() if total is None else total + gradient
            parameter.grad = None
            parameter.data = value
            parameter.grad = total
        self._sums = [None] * len(self.low)
        try:
            yield
        finally:
            for index, (parameter, low) in enumerate(zip(self.low, stored, strict=True)):
                self.values[index] = parameter.data
                parameter.grad = None
                parameter.data = low.copy_(parameter.data)  # the same memory as before, which a captured graph may read


def autocast(objective: Objective, device: torch.device) -> Objective:
    """Return an objective that runs models under autocast to bfloat16, and hands on their logits in float32.

    Weights stay as they are, and losses are computed in float32.

    Args:
        objective: Left as it is.
        device: Of the models.

    """
    cast = copy.copy(objective)

    def passes() -> AbstractContextManager[Any]:
        return torch.autocast(device.type, torch.bfloat16)

    def logits(model: nn.Module, batch: Batch) -> Tensor:
        with passes():
            return wide(objective.logits(model, batch))

    cast.logits = logits  # type: ignore[method-assign]
    cast.passes = passes  # type: ignore[method-assign]
    return cast
