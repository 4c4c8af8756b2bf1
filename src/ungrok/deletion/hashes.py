"""Hashes that stand in a record for what was given, of which it holds nothing else."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ungrok.audits.collected import Collected
from ungrok.core.contents import contents, named_tensors
from ungrok.core.modules import bare
from ungrok.core.objective import Batch
from ungrok.core.schema import canonical
from ungrok.core.weights import bytes_of


def hashes(examples: Collected, key: bytes) -> list[str]:
    """Return the HMAC-SHA256 of every example under a key, as hexadecimal digits, in increasing order.

    Args:
        examples: A set that was read once.
        key: Of 1 byte at least.

    """
    count = len(examples)
    each = contents(examples.batch(torch.arange(count)), count)
    return sorted(hmac.new(key, content, hashlib.sha256).hexdigest() for content in each)


def joined(each: list[str]) -> str:
    """Return one SHA-256 for the hashes of a set."""
    return hashlib.sha256("".join(each).encode()).hexdigest()


def hash_of_batches(batches: Iterable[Batch], key: bytes) -> str:
    """Return the HMAC-SHA256 under a key of batches in their order, with all that stands in them: padding, identities, other answers."""
    summed = hmac.new(key, digestmod=hashlib.sha256)
    for batch in batches:
        summed.update(b"batch\n")
        for name, value in named_tensors(batch):
            summed.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            summed.update(bytes_of(value))
    return summed.hexdigest()


def structure_of(model: nn.Module) -> str:
    """Return a SHA-256 of a bare model's modules, by name, class and what ``print`` shows of them, and of the names of its frozen weights."""
    model = bare(model)
    modules = [(name, type(part).__name__, part.extra_repr()) for name, part in model.named_modules()]
    frozen = [name for name, value in model.named_parameters() if not value.requires_grad]
    return hash_of([modules, frozen])


def hash_of(value: Any) -> str:
    """Return the SHA-256 of plain JSON types."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def vocabulary_of(tokenizer: Any) -> str:
    """Return a SHA-256 of a tokenizer's vocabulary; of the name of its class where it tells none."""
    told = getattr(tokenizer, "get_vocab", None)
    return hash_of(dict(told()) if callable(told) else type(tokenizer).__name__)


def seal_of(content: dict[str, Any], key: bytes) -> str:
    """Return the HMAC-SHA256 under a key of all that a record holds but its seal.

    Args:
        content: The record as plain JSON types.
        key: That under which the examples are hashed.

    """
    sealed = canonical({name: value for name, value in content.items() if name != "seal"})
    return hmac.new(key, sealed.encode(), hashlib.sha256).hexdigest()
