"""Mini-batches by index gather from tensors that already lie on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

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
        size, order = self.batch_size, self._order(number)
        count = len(self.split) if order is None else len(order)
        parts = [slice(start, start + size) for start in range(first * size, count, size)]
        if self.augment is None:
            yield from self.split.batches(order, parts)
            return
        drawn = self.augment.draw(count, self.augment_seed, number).to(self.split.targets.device)
        for part, (inputs, targets) in zip(parts, self.split.read(order, parts), strict=True):
            yield self.split.ready(self.augment(inputs, drawn[part])), targets

    def _order(self, number: int) -> Tensor | None:
        """Return which examples an epoch holds, one after another; None for the order of the split."""
        if self.seed is None:
            return None
        seed = _seeds(self.seed, number // AHEAD)[number % AHEAD]
        return torch.randperm(len(self.split), generator=torch.Generator().manual_seed(seed))

    def examples(self, place: int) -> int:
        """Return how many examples a batch of an epoch holds, counted from 0."""
        return min(self.batch_size, len(self.split) - place * self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        self._next += 1
        return self.epoch(self._next - 1)


class OrderedBatches(TensorBatches):
    """Batches of one size in an order that is given beforehand; an epoch is as many of them as hold as many examples as the split.

    Args:
        split: The examples, on their device.
        batch_size: Examples per batch.
        order: Gives the examples of every batch, int64 of shape (batches, ``batch_size``); asked for once, when a batch is.
        augment: What is done to each batch, if anything.
        augment_seed: Seed of the augmentation.

    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        order: Callable[[], Tensor],
        *,
        augment: Augment | None = None,
        augment_seed: int = 0,
    ) -> None:
        super().__init__(split, None, augment=augment, augment_seed=augment_seed)
        self.batch_size = batch_size
        self._given = order

    @cached_property
    def _all(self) -> Tensor:
        return self._given()

    def _order(self, number: int) -> Tensor:
        return self._all[number * len(self) : (number + 1) * len(self)].flatten()

    def examples(self, place: int) -> int:  # noqa: ARG002
        """Return the size of all batches."""
        return self.batch_size
