"""Who the examples of a training set are, told by hashes: nothing of the data is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from ungrok.core.entrance import entering
from ungrok.core.errors import RecipeError
from ungrok.core.weights import bytes_of

PLAIN = (str, bytes, int, float, type(None))


def identity_of(examples: Any) -> dict[str, Any] | list[str]:
    """Return the identity of training examples, in plain JSON types.

    Args:
        examples: The user's own keys, one text or whole number for each example; or the examples themselves: a data set, a list
            of examples, or a tuple of tensors with one row for each example, ``(X, y)``.

    Returns:
        For keys the SHA-256 of each, written as text in UTF-8, in the order given; those of a set, which has none, sorted. For contents ``{"count": n, "sha256": ...}``,
        which is the same in whatever order the examples come.

    Raises:
        RecipeError: If there are none, or their content cannot be hashed.

    """
    with entering("examples", "cannot be read"):
        keys = list(_keys(examples))
        each = [] if keys else sorted(map(content_hash, _one_by_one(examples)))
        if not keys and not each:
            raise RecipeError("there are none")
    if keys:
        hashed = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
        return sorted(hashed) if isinstance(examples, Set) else hashed
    return {"count": len(each), "sha256": hashlib.sha256(b"".join(each)).hexdigest()}


def _keys(examples: Any) -> Iterator[str]:
    """Yield keys as text; nothing where the examples are no keys."""
    if isinstance(examples, Tensor | np.ndarray) and examples.ndim == 1:
        examples = examples.tolist()
    whole = isinstance(examples, list | tuple | range | Set)
    if whole and all(isinstance(key, str | int) for key in examples):
        yield from map(str, examples)


def _one_by_one(examples: Any) -> Any:
    """Return examples one after another.

    Raises:
        RecipeError: If they come in batches, can be read only once, or are no set.

    """
    kind = type(examples).__name__
    if isinstance(examples, DataLoader):
        raise RecipeError("a DataLoader may shuffle and pad; give its data set, loader.dataset")
    if isinstance(examples, tuple):
        if not all(isinstance(column, Tensor | np.ndarray) for column in examples) or len(set(map(len, examples))) != 1:
            raise RecipeError("a tuple must hold tensors with one row for each example, as (X, y)")
        return zip(*examples, strict=True)
    if isinstance(examples, Iterator | Mapping | str) or not (
        isinstance(examples, Iterable) or hasattr(examples, "__getitem__")
    ):
        raise RecipeError(f"is a {kind}; allowed: keys, a data set, a list of examples or (X, y)")
    if hasattr(examples, "__getitem__") and hasattr(examples, "__len__"):
        return (examples[i] for i in range(len(examples)))  # torch's data sets need not end an iteration
    return examples


def content_hash(example: Any) -> bytes:
    """Return the SHA-256 of one example, 32 bytes; a tensor and an array of equal values have the same.

    Args:
        example: A tensor, array, picture, text, number, or lists and dicts of these.

    Raises:
        RecipeError: If it holds anything else.

    """
    summed = hashlib.sha256()
    for part in _parts(example):
        summed.update(f"{len(part)} ".encode())  # so that no two examples give the same bytes
        summed.update(part)
    return summed.digest()


def _parts(value: Any) -> Iterator[bytes | memoryview]:
    if isinstance(value, Tensor):
        yield f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}".encode()
        yield bytes_of(value)
    elif isinstance(value, PLAIN):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, Mapping):
        yield f"by name {len(value)}".encode()
        for name in sorted(value, key=str):
            yield from _parts(name)
            yield from _parts(value[name])
    elif isinstance(value, list | tuple):
        yield f"in order {len(value)}".encode()
        for item in value:
            yield from _parts(item)
    else:
        array = np.asarray(value)  # pictures, NumPy's numbers
        if array.dtype.hasobject:
            raise RecipeError(
                f"an example holds a {type(value).__name__}, which cannot be hashed; give keys of your own"
            )
        yield f"{array.dtype} {array.shape}".encode()
        yield array.tobytes()
