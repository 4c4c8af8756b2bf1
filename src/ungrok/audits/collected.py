"""A caller's batches as examples that can be taken by number."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ungrok.core.errors import RecipeError
from ungrok.core.forms import rows_of
from ungrok.core.objective import Batch, Objective


class Collected:
    """Batches read once and kept as one; see :class:`ungrok.audits.base.Examples`.

    Args:
        batches: In the objective's form, on the device on which they are to be kept.
        objective: Joins them.

    Raises:
        RecipeError: If there are none.

    """

    def __init__(self, batches: Sequence[Batch], objective: Objective) -> None:
        if not batches:
            raise RecipeError("holds no batches")
        self._whole = objective.join(*batches) if len(batches) > 1 else batches[0]
        self._size = objective.size(self._whole)

    def __len__(self) -> int:
        return self._size

    def batch(self, index: Tensor) -> Batch:
        """Return the examples that ``index`` (int64) selects, in its order."""
        return rows_of(self._whole, index)
