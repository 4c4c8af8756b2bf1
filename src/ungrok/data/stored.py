"""Images in a memory-mapped file: read when asked for, resident on a device where they fit, streamed where not."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")
Index = Tensor | slice
"""Selects examples: int64 or bool of one dimension, or a slice."""

SHARE = 0.5
"""Images are kept in memory if they take at most this share of it."""

AHEAD = 3
"""Batches read while the caller works on another."""

CHUNK = 4096
"""Images copied to a device at a time."""

CPU = torch.device("cpu")


def memory(device: torch.device) -> int:
    """Return the bytes of a device's memory that images may use: what is free on a GPU, all of the machine's on a CPU."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True)
class Stored:
    """Some of the images of a file, on disk until they are read.

    Args:
        file: The memory-mapped file, uint8 of shape (images, channels, height, width).
        rows: Which of them, int64 of shape (n,), on the CPU.
        device: Where batches go.
        stream: Read ahead through a DataLoader (True), never (False), or only if the images do not fit into the
            device's memory (None).

    """

    file: Tensor
    rows: Tensor
    device: torch.device = CPU
    stream: bool | None = None

    @property
    def shape(self) -> torch.Size:
        """The shape that the images have together, (n, channels, height, width)."""
        return torch.Size([len(self.rows), *self.file.shape[1:]])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Index) -> Tensor:
        return self.file.index_select(0, self.rows[index]).to(self.device)

    def of(self, index: Index) -> Stored:
        """Return a part of the images, still on disk."""
        return replace(self, rows=self.rows[index])

    def to(self, device: torch.device) -> Tensor | Stored:
        """Return the images on a device if they fit there, else something that streams them to it.

        On the CPU the file stays mapped: the system's page cache holds it, once for all processes.
        """
        moved = replace(self, device=device)
        if device.type == "cpu" or moved.streamed:
            return moved
        resident = torch.empty(self.shape, dtype=self.file.dtype, device=device)
        for start in range(0, len(self), CHUNK):  # never all of it in the machine's own memory
            resident[start : start + CHUNK] = moved[slice(start, start + CHUNK)]
        return resident

    @property
    def streamed(self) -> bool:
        """Whether batches are read ahead through a DataLoader."""
        return prod(self.shape) > SHARE * memory(self.device) if self.stream is None else self.stream

    def read(self, parts: Iterable[Index]) -> Iterator[Tensor]:
        """Yield one tensor per part, on the device."""
        if not self.streamed:
            yield from (self[part] for part in parts)
            return
        loader = DataLoader(
            _Rows(self.file),
            batch_size=None,
            sampler=(self.rows[part] for part in parts),
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # else iterating would draw from the caller's random state
        )
        # The pixels are decoded, so reading is one copy that does not hold Python's lock: a thread is as good as processes.
        for batch in ahead(iter(loader), AHEAD):
            yield batch.to(self.device, non_blocking=True)


class _Rows(Dataset[Tensor]):
    def __init__(self, file: Tensor) -> None:
        self.file = file

    def __getitem__(self, rows: Tensor) -> Tensor:
        return self.file.index_select(0, rows)


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """Yield the items in order, the next ``depth`` of them being fetched in a thread meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, items, None) for _ in range(depth))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item
