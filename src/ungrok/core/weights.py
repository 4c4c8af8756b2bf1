"""What a file keeps of a model's weights: each once, and none that the model was given and that are never trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ungrok.core.errors import RecipeError

GIVEN = "given.sha256"
"""In a file: the checksum of the frozen weights that it leaves out, uint8 of shape (32,). On a model: the same."""


def remember_given(model: nn.Module) -> None:
    """Let files leave out the frozen weights of a model, which must be those of any fresh model of its kind.

    That holds for adapters on a pretrained model, whose other weights come from a file, but not where they come from a seed.
    """
    setattr(model, GIVEN, _checksum(model))


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}


def content_of(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the SHA-256 of named tensors: of names, types, shapes and values."""
    summed = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        summed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        summed.update(bytes_of(tensor))
    return summed.digest()


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the values of a tensor as bytes, in the machine's order: what every hash of tensors is taken of."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _checksum(model: nn.Module) -> Tensor:
    return torch.frombuffer(bytearray(content_of(_frozen(model))), dtype=torch.uint8)


def _first_names(state: dict[str, Tensor]) -> dict[str, str]:
    """Return, by name, the first name of the same tensor: tied weights have several."""
    seen: dict[tuple[object, ...], str] = {}
    first = {}
    for name, value in state.items():
        place = (value.data_ptr(), value.dtype, value.shape, value.stride()) if value.numel() else (name,)
        first[name] = seen.setdefault(place, name)
    return first


def kept(model: nn.Module) -> dict[str, Tensor]:
    """Return the part of a model's state dict from which :func:`whole` restores it.

    Tied weights stand under their first name. Weights that the model was given (see :func:`remember_given`) are left out, and
    their checksum stands for them, unless something has changed them.
    """
    state = dict(model.state_dict())
    first, given = _first_names(state), getattr(model, GIVEN, None)
    left_out: dict[str, Tensor] = {}
    if given is not None and torch.equal(_checksum(model), given):
        left_out, state = _frozen(model), state | {GIVEN: given}
    return {name: value for name, value in state.items() if first.get(name, name) == name and name not in left_out}


def whole(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of a model from what :func:`kept` left of it; a whole state dict stays as it is.

    Args:
        model: A fresh one of the same kind; given weights are taken from it.
        tensors: By name.

    Raises:
        RecipeError: If the model was given other weights than the one that was kept.

    """
    own, full = dict(model.state_dict()), dict(tensors)
    first, given = _first_names(own), full.pop(GIVEN, None)
    if given is not None:
        mine = getattr(model, GIVEN, None)
        if mine is None or not torch.equal(mine, given):
            raise RecipeError(
                "model: its frozen weights are not those with which the checkpoint was made; has the file that model.path "
                "names changed since?"
            )
        full = {name: own[name] for name in _frozen(model)} | full
    return full | {name: full[one] for name, one in first.items() if name not in full and one in full}
