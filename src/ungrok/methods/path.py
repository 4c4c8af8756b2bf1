"""Places on an unlearning path, and the path itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ungrok.core.errors import RecipeError
from ungrok.core.modules import duplicate

ONE = "Expected more than 1 value per channel"
"""What batch normalization says of one example."""

SINGLE = (
    "{which} has one example, of which batch normalization takes no variance; use drop_last=True or another batch size, or "
    'batchnorm="eval"'
)


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
        return duplicate(self.model)


class UnlearningPath(Iterator[Step]):
    """An iterator over the steps of one path.

    Args:
        steps: The generator behind it.
        budget: The dose at which the path ends, known before it starts.
        whole: The live model under the wrapper of the one handed in, where that had one: what steps hold.

    Raises:
        RecipeError: When it comes to a batch of one example that batch normalization cannot take.

    """

    def __init__(self, steps: Iterator[Step], budget: float, whole: nn.Module | None = None) -> None:
        self._steps = steps
        self.budget = budget
        self.whole = whole

    def __next__(self) -> Step:
        try:
            step = next(self._steps)
        except ValueError as error:
            if ONE not in str(error):
                raise
            raise RecipeError(SINGLE.format(which="a batch, or a part of one,")) from None
        return step if self.whole is None else replace(step, model=self.whole)
