"""Cost of a path in passes over the data, which no machine changes; seconds are kept apart from results."""

from __future__ import annotations

from collections.abc import Iterator

from ungrok.core.objective import Batch, Batches, Classification, Objective
from ungrok.core.sets import draws_from_torch


class Metered:
    """Batches that count how many examples are read of them; hand them to a method in the place of the set itself.

    Everything that is read counts once, whatever is done with it: one pass may mean one forward pass or, with a teacher, two.
    ``uncounted`` is the set itself, for checks that are no part of a method's cost.

    Args:
        batches: Re-iterable of batches.
        examples: Number of examples in one pass.
        objective: Says how many examples a batch holds; a classifier's by default.

    """

    def __init__(self, batches: Batches, examples: int, objective: Objective | None = None) -> None:
        self.uncounted = batches
        self.examples = examples
        self.objective = objective or Classification()
        self.torch_only = draws_from_torch(batches)
        self.read = 0
        if hasattr(batches, "dataset"):  # by which a DataLoader's examples are known
            self.dataset = batches.dataset

    @property
    def passes(self) -> float:
        """Examples read so far over the number of examples in the set."""
        return self.read / self.examples

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.uncounted:
            self.read += self.objective.size(batch)
            yield batch

    def __len__(self) -> int:
        return len(self.uncounted)  # type: ignore[arg-type]
