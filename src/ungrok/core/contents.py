"""What examples hold, as bytes: for the hashes of a record, and to find examples that stand in two sets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Batch
from ungrok.core.weights import bytes_of

APART = ("forget", "retain")
"""Sets that must not share an example."""


def contents(batch: Batch, count: int) -> list[bytes]:
    """Return the bytes of each example of a batch: types, shapes and values of all that is learned from.

    Of a text these are its tokens and labels, without padding; of ``(inputs, targets)`` both. An index is left out: it names the
    example, but is no part of it.

    Args:
        batch: In the form that the objective's ``move`` gives.
        count: Its number of examples.

    """
    mask: Tensor | None = None
    parts: Any
    if isinstance(batch, Mapping) and {"input_ids", "attention_mask", "labels"} <= batch.keys():
        mask, parts = batch["attention_mask"].bool().cpu(), {name: batch[name] for name in ("input_ids", "labels")}
    elif isinstance(batch, Mapping):
        parts = {name: value for name, value in batch.items() if name != "index"}
    else:
        parts = tuple(batch[:2])
    columns = (_rows(name, value, mask) for name, value in named_tensors(parts) if len(value) == count)
    return [b"".join(row) for row in zip(*columns, strict=True)]


def named_tensors(parts: Any) -> list[tuple[str, Tensor]]:
    """Return the tensors in tuples and dicts that have rows, with their places there, in the order of these."""
    leaves = ((keystr(path), leaf) for path, leaf in tree_flatten_with_path(parts)[0])
    return sorted((name, leaf) for name, leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim)


def _rows(name: str, values: Tensor, mask: Tensor | None) -> Iterator[bytes]:
    """Yield name, type, shape and values of each row of a tensor, or of that part of it which a mask names."""
    values = values.detach().cpu().contiguous()
    if mask is not None:
        for row, there in zip(values, mask, strict=True):
            kept = row[there]
            yield f"{name} {kept.dtype} {tuple(kept.shape)}\n".encode() + bytes_of(kept)
        return
    head = f"{name} {values.dtype} {(1, *values.shape[1:])}\n".encode()
    for row in values.reshape(len(values), -1).view(torch.uint8).numpy():
        yield head + row.tobytes()


class Contents:
    """Notes what is read of the sets that must not share an example, by hashes of the examples' contents."""

    def __init__(self) -> None:
        self._seen: dict[str, set[bytes]] = {role: set() for role in APART}

    def add(self, role: str, batch: Batch, count: int) -> None:
        """Note a batch of a set; see :func:`contents`."""
        if role in APART:
            hashes = (hashlib.blake2b(content, digest_size=16).digest() for content in contents(batch, count))
            self._seen[role].update(hashes)

    def check(self) -> None:
        """Raise RecipeError if forget and retain, as far as they were read, share an example."""
        shared = len(set.intersection(*self._seen.values()))
        if shared:
            raise RecipeError(
                f"{' and '.join(APART)} share {shared} examples by content, that is by equal inputs and targets; each example belongs to "
                "one of them"
            )
