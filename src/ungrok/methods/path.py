"""Places on an unlearning path, and the path itself."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Step:
    """One place on an unlearning path.

    Args:
        updates: Optimizer updates made so far; 0 all along the path of a one-shot method.
        dose: How far along the path this is: ``updates``, or the strength of a one-shot method.
        model: The live model, in whatever mode the caller leaves it; valid until the path is resumed.
        loss_tensor: The loss that the last update minimized, a detached scalar, or None.

    """

    updates: int
    dose: float
    model: nn.Module
    loss_tensor: Tensor | None = None

    @property
    def loss(self) -> float | None:
        """The loss that the last update minimized; reading it waits for the device."""
        return None if self.loss_tensor is None else self.loss_tensor.item()

    def snapshot(self) -> nn.Module:
        """Return a copy of the model that later updates do not touch."""
        return copy.deepcopy(self.model)


class UnlearningPath(Iterator[Step]):
    """An iterator over the steps of one path.

    Args:
        steps: The generator behind it.
        budget: The dose at which the path ends, known before it starts.

    """

    def __init__(self, steps: Iterator[Step], budget: float) -> None:
        self._steps = steps
        self.budget = budget

    def __next__(self) -> Step:
        return next(self._steps)
