"""Hashes that stand in a record for examples, of which it holds nothing else."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path

from ungrok.audits.collected import Collected
from ungrok.core.weights import bytes_of


def example_bytes(batch: Any) -> bytes:
    """Return the bytes of a batch with one example: types, shapes and values of all that is learned from.

    Of a text these are its tokens and labels, without padding; of a pair ``(inputs, targets)`` both. An index is left out: it names
    the example, but is no part of it.
    """
    if isinstance(batch, Mapping) and {"input_ids", "attention_mask", "labels"} <= batch.keys():
        there = batch["attention_mask"].bool()
        parts: Any = {name: batch[name][there] for name in ("input_ids", "labels")}
    elif isinstance(batch, Mapping):
        parts = {name: value for name, value in batch.items() if name != "index"}
    else:
        parts = tuple(batch[:2])
    named = {keystr(path): leaf for path, leaf in tree_flatten_with_path(parts)[0] if isinstance(leaf, Tensor)}
    return b"".join(
        f"{name} {value.dtype} {tuple(value.shape)}\n".encode() + bytes_of(value)
        for name, value in sorted(named.items())
    )


def hashes(examples: Collected, key: bytes) -> list[str]:
    """Return the HMAC-SHA256 of every example under a key, as hexadecimal digits, in increasing order.

    Args:
        examples: A set that was read once.
        key: Of 1 byte at least.

    """
    contents = (example_bytes(examples.batch(torch.tensor([number]))) for number in range(len(examples)))
    return sorted(hmac.new(key, content, hashlib.sha256).hexdigest() for content in contents)


def joined(each: list[str]) -> str:
    """Return one SHA-256 for the hashes of a set."""
    return hashlib.sha256("".join(each).encode()).hexdigest()
