"""Mini-batches by index gather from tensors that already lie on the device."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch

from ungrok.core.seeds import derive
from ungrok.data.augment import Augment
from ungrok.data.base import Split

AHEAD = 64
"""Epochs whose seeds are derived together: one at a time, between updates, takes three times as long."""


@lru_cache(maxsize=16)
def _seeds(seed: int, block: int) -> list[int]:
    return [derive(seed, "epoch", number) for number in range(block * AHEAD, (block + 1) * AHEAD)]


class TensorBatches:
    """An iterable of a split's batches whose order and augmentation are functions of (seed, epoch), not of history.

    Args:
        split: The examples, on their device.
        batch_size: Examples per batch; the last batch of an epoch holds what is left. None: one batch of everything.
        seed: Shuffle each epoch with this seed; None keeps the order of the split.
        augment: What is done to each batch, if anything.
        augment_seed: Seed of the augmentation.

    Iterating the n-th time gives epoch n − 1; :meth:`epoch` gives any epoch.

    """

    torch_only = True
    """See :func:`ungrok.core.sets.draws_from_torch`."""

    def __init__(
        self,
        split: Split,
        batch_size: int | None = None,
        seed: int | None = None,
        *,
        augment: Augment | None = None,
        augment_seed: int = 0,
    ) -> None:
        self.split = split
        self.batch_size = max(1, len(split) if batch_size is None else min(batch_size, len(split)))
        self.seed = seed
        self.augment = augment
        self.augment_seed = augment_seed
        self._next = 0

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    def epoch(self, number: int, first: int = 0) -> Iterator[Any]:
        """Yield the batches of one epoch, from batch ``first`` on."""
        size, count = self.batch_size, len(self.split)
        order = None
        if self.seed is not None:
            seed = _seeds(self.seed, number // AHEAD)[number % AHEAD]
            order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        parts = [slice(start, start + size) for start in range(first * size, count, size)]
        if self.augment is None:
            yield from self.split.batches(order, parts)
            return
        drawn = self.augment.draw(count, self.augment_seed, number).to(self.split.targets.device)
        for part, (inputs, targets) in zip(parts, self.split.read(order, parts), strict=True):
            yield self.split.ready(self.augment(inputs, drawn[part])), targets

    def __iter__(self) -> Iterator[Any]:
        self._next += 1
        return self.epoch(self._next - 1)
