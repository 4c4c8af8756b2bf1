"""Mini-batches by index gather from tensors that already lie on the device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ungrok.core.seeds import generator
from ungrok.data.base import Split


class TensorBatches:
    """An iterable of ``(inputs, targets)`` whose order is a function of (seed, epoch), not of history.

    Args:
        split: The examples, on their device.
        batch_size: Examples per batch; the last batch of an epoch holds what is left. None: one batch of everything.
        seed: Shuffle each epoch with this seed; None keeps the order of the split.

    Iterating the n-th time gives epoch n − 1; :meth:`epoch` gives any epoch.

    """

    def __init__(self, split: Split, batch_size: int | None = None, seed: int | None = None) -> None:
        self.split = split
        self.batch_size = max(1, len(split) if batch_size is None else min(batch_size, len(split)))
        self.seed = seed
        self._next = 0

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    def epoch(self, number: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one epoch, from batch ``first`` on."""
        order = None
        if self.seed is not None:
            order = torch.randperm(len(self.split), generator=generator(self.seed, "epoch", number))
            order = order.to(self.split.targets.device)
        for start in range(first * self.batch_size, len(self.split), self.batch_size):
            part = slice(start, start + self.batch_size)
            index = part if order is None else order[part]
            yield self.split.inputs[index], self.split.targets[index]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self._next += 1
        return self.epoch(self._next - 1)
