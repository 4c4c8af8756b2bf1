"""Tensors in fewer bytes without losing a bit: bytes of the same place side by side, then zstd."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

PACKED = "ungrok.packed"
"""In the metadata of a file: what its tensors are, as JSON."""

LARGEST = 8
"""Bytes of the largest word that numpy knows; a number of more bytes is several words."""

Words = NDArray[Any]


class _Said(BaseModel):
    """What the metadata of a file say.

    Args:
        differences: As for :func:`pack`.
        order: Of the bytes of a word, as numpy calls it; always ``<`` in what :func:`pack` returns, on whatever machine.
        tensors: By name the dtype, as torch calls it, and the shape.

    """

    differences: Literal[0, 1, 2]
    order: Literal["<", ">"] = "<"
    tensors: dict[str, tuple[str, list[Annotated[int, Field(ge=0)]]]]


def pack(tensors: Mapping[str, Tensor], differences: int = 0) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors as bytes, and the metadata from which :func:`unpack` makes them again.

    Args:
        tensors: By name.
        differences: 1 or 2 where rows change little from one to the next, or change as they did before: tensors of two
            dimensions and more are then replaced by differences of that order along the first, taken of their bits.

    Returns:
        uint8 of one dimension by name, and one entry of metadata.

    """
    from pyarrow import compress

    packed, kinds = {}, {}
    for name, tensor in tensors.items():
        whole = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        size = min(whole.element_size(), LARGEST)
        words = whole.reshape(-1).view(torch.uint8).numpy().view(f"u{size}").astype(f"<u{size}", copy=False)
        if whole.ndim > 1 and whole.numel():
            words = difference(words.reshape(len(whole), -1), differences)
        planes = np.ascontiguousarray(words.reshape(-1, 1).view(np.uint8).T)
        packed[name] = torch.frombuffer(bytearray(compress(planes.tobytes(), "zstd", asbytes=True)), dtype=torch.uint8)
        kinds[name] = [str(whole.dtype).removeprefix("torch."), list(whole.shape)]
    return packed, {PACKED: json.dumps({"differences": differences, "tensors": kinds}, sort_keys=True)}


def packed_shapes(metadata: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes that tensors had before :func:`pack`, by name; none where the metadata are not of packed ones."""
    said = json.loads(metadata[PACKED])["tensors"] if PACKED in metadata else {}
    return {name: tuple(shape) for name, (_, shape) in said.items()}


def unpack(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors that :func:`pack` was given, or what it never packed as it is.

    Raises:
        ValueError: If the bytes are not what the metadata says.

    """
    if PACKED not in metadata:
        return tensors
    try:
        said = _Said.model_validate_json(metadata[PACKED], strict=True)
    except ValidationError:
        said = None
    if said is None or said.tensors.keys() != tensors.keys():
        raise ValueError(f"{PACKED}: does not say what the file holds")
    return {name: _unpacked(name, value, said) for name, value in tensors.items()}


def _unpacked(name: str, value: Tensor, said: _Said) -> Tensor:
    from pyarrow import decompress

    dtype, shape = getattr(torch, said.tensors[name][0], None), said.tensors[name][1]
    if not isinstance(dtype, torch.dtype) or value.dtype != torch.uint8:
        raise ValueError(
            f"{name}: is {value.dtype} said to be {said.tensors[name][0]!r}; allowed: bytes of a known dtype"
        )
    size = min(dtype.itemsize, LARGEST)
    count = math.prod(shape) * dtype.itemsize // size
    try:
        content = decompress(value.numpy().tobytes(), count * size, "zstd", asbytes=True)
        planes = np.frombuffer(content, dtype=np.uint8).reshape(size, count)
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise ValueError(f"{name}: does not unpack ({error})") from None
    words = planes.T.copy().reshape(-1).view(f"{said.order}u{size}").astype(f"=u{size}", copy=False)
    if len(shape) > 1 and count:
        words = restore(words.reshape(shape[0], -1), said.differences)
    return torch.from_numpy(words.reshape(-1).view(np.uint8)).view(dtype).reshape(shape)


def difference(words: Words, order: int) -> Words:
    """Return differences along the rows of unsigned words; those near 0, of either sign, become small numbers.

    Args:
        words: uint, shape (rows, n).
        order: Of the differences; the first row stays, the second is a first difference. With 0 nothing is changed.

    """
    if order == 0:
        return words
    words = words.copy()
    for start in range(order):
        words[start + 1 :] -= words[start:-1].copy()
    sign = words >> (8 * words.itemsize - 1)
    return (words << 1) ^ -sign  # 0, -1, 1, -2 become 0, 1, 2, 3


def restore(words: Words, order: int) -> Words:
    """Return what :func:`difference` was given."""
    if order == 0:
        return words
    words = (words >> 1) ^ -(words & 1)
    for start in reversed(range(order)):
        words[start:] = np.cumsum(words[start:], axis=0, dtype=words.dtype)
    return words
