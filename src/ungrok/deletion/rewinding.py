"""A way back along a training, of which a record keeps where it led."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from ungrok.deletion.inputs import checksums
from ungrok.deletion.record import Weights
from ungrok.methods.material import Rewound


class Rewinding:
    """A user's :data:`~ungrok.methods.material.Rewound`, of which the earliest model is remembered by checksums.

    Args:
        rewound: The user's; its attribute ``updates``, if it has one, is this one's too.

    """

    def __init__(self, rewound: Rewound) -> None:
        self._rewound = rewound
        self.earliest: Weights | None = None
        """The first model that it gave; None before."""
        if hasattr(rewound, "updates"):
            self.updates = rewound.updates

    def __call__(self, back: int) -> Iterator[nn.Module]:
        """Return what the user's function returns."""
        return self._noting(iter(self._rewound(back)))

    def _noting(self, places: Iterator[nn.Module]) -> Iterator[nn.Module]:
        for place in places:
            if self.earliest is None and isinstance(place, nn.Module):
                self.earliest = checksums(place)
            yield place
