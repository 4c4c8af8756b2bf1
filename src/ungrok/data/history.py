"""Per-example losses along a trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LossHistory:
    """Every train example's loss at the recorded steps of one trajectory.

    Args:
        steps: int, shape (s,), increasing; the first is the start, the last the end.
        own: Loss on the example as it was trained on, shape (s, n).
        paraphrase: Loss on its question in other words, shape (s, n); NaN where there is none.
        per_epoch: Updates per epoch.

    """

    steps: NDArray[np.int64]
    own: Floats
    paraphrase: Floats
    per_epoch: int

    def at(self, step: int) -> int:
        """Return the place of the last recorded step that is not after ``step``."""
        return int(np.searchsorted(self.steps, step, side="right")) - 1
