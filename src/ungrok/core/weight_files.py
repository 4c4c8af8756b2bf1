"""Files of weights that other programs wrote: which there are in a folder, what they hold, whether that fits a model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from ungrok.core.errors import RecipeError, StoreError, first_line, listed, nearest, shown, shown_file
from ungrok.core.files import load_tensors, save_tensors
from ungrok.core.weights import whole

PICKLED = (".pt", ".pth", ".bin", ".ckpt")
"""How the names of files end that ``torch.save`` wrote."""

SAFE = ".safetensors"
INDEX = "model.safetensors.index.json"
"""The file that says in which of several files each weight of a large model lies."""

IN_FOLDER = ("model.safetensors", INDEX, "pytorch_model.bin")
"""Files of weights in a ``checkpoint-*`` folder of a Trainer."""

ADAPTERS = "adapter_config.json"
"""What lies in such a folder where only adapters of peft were trained."""

FORMAT = 1
"""The format of a Recorder's folder that is understood."""

WRAPPED = re.compile(r"^(?:_orig_mod\.|module\.)+")
"""What ``torch.compile`` and ``nn.DataParallel`` put before the names of weights."""


def step_files(folder: Path, key: str) -> dict[int, Path]:
    """Return the checkpoints in a folder by step, the last number in the name of each.

    Read are a Recorder's ``step-00000700.safetensors``, a Trainer's ``checkpoint-700`` folders, and ``.safetensors`` and ``.pt`` files
    with a number in their names. All else is passed over, and so is a file beside which its conversion lies.

    Raises:
        RecipeError: If there are none, two of one step, adapters alone, or a Recorder's folder of another format.

    """
    _check_recorder(folder, key)
    found: dict[int, Path] = {}
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        inside = next((entry / name for name in IN_FOLDER if (entry / name).is_file()), entry)
        numbers = re.findall(r"\d+", entry.stem if entry.is_file() else entry.name)
        if numbers and inside == entry and (entry / ADAPTERS).is_file():
            raise RecipeError(
                f"{key}: {shown_file(entry)} holds adapters alone; save the merged weights, model.merge_and_unload()"
            )
        converted = inside.suffix in PICKLED and inside.with_suffix(SAFE).is_file()
        if not numbers or converted or not (inside.name == INDEX or inside.suffix in (SAFE, *PICKLED)):
            continue
        step = int(numbers[-1])
        if step in found:
            raise RecipeError(
                f"{key}: {shown_file(found[step])} and {shown_file(inside)} are both of step {step}; allowed: one"
            )
        found[step] = inside
    if not found:
        raise RecipeError(
            f"{key}: {shown_file(folder)} holds no checkpoints; allowed: a folder of .safetensors or .pt files with the step in their "
            "names, of a Trainer's checkpoint-* folders, or of a Recorder"
        )
    return found


def _check_recorder(folder: Path, key: str) -> None:
    """Raise RecipeError where a folder was written by a Recorder in a format that is not known here."""
    file = folder / "recorded.json"
    if not file.is_file():
        return
    try:
        written = json.loads(file.read_text(encoding="utf-8")).get("format")
    except (OSError, ValueError, AttributeError) as error:
        raise RecipeError(f"{key}: {shown_file(file)} cannot be read ({first_line(error)})") from None
    if written != FORMAT:
        raise RecipeError(f"{key}: {shown_file(file)} has format {written!r}; allowed: {FORMAT}")


def read_weights(file: Path, key: str) -> Mapping[str, Any]:
    """Return what a file holds: tensors by name, or for a file of ``torch.save`` whatever mapping was saved.

    No object is unpickled but tensors, numbers, texts and their containers.

    Raises:
        RecipeError: If it cannot be read so.

    """
    try:
        if file.name == INDEX:
            parts = sorted({*json.loads(file.read_text(encoding="utf-8"))["weight_map"].values()})
            return {name: value for part in parts for name, value in load_tensors(file.with_name(part)).items()}
        if file.suffix not in PICKLED:
            return load_tensors(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise RecipeError(
            f"{key}: {shown_file(file)} holds more than tensors, and reading that would run code of whoever wrote the file; if you "
            f"trust it, `ungrok convert {file}` writes its weights as safetensors"
        ) from None
    except StoreError as error:
        raise RecipeError(f"{key}: {shown_file(file)} cannot be read as safetensors ({first_line(error)})") from None
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise RecipeError(f"{key}: {shown_file(file)} cannot be read ({first_line(error)})") from None
    if not isinstance(content, Mapping):
        raise RecipeError(f"{key}: {shown_file(file)} holds a {type(content).__name__}; allowed: a state dict")
    return content


def state_in(content: Mapping[str, Any], names: set[str], where: str) -> dict[str, Tensor]:
    """Return the state dict in the content of a file: the content itself, or the part of it with most of a model's names.

    Args:
        content: Of :func:`read_weights`; the state dict may stand under any name, beside that of an optimizer for instance, and have
            the names of a model under ``torch.compile`` or ``nn.DataParallel``.
        names: Of the model's weights.
        where: Names the file in messages.

    Raises:
        RecipeError: If several parts have as many of the names, and other values, as the average of weights has beside the weights.

    """
    states = _states(content)
    plain = {key: {WRAPPED.sub("", name): value for name, value in state.items()} for key, state in states.items()}
    fits = {key: max((state, plain[key]), key=lambda one: len(names & one.keys())) for key, state in states.items()}
    most = max(len(names & state.keys()) for state in fits.values())
    best = [key for key, state in fits.items() if len(names & state.keys()) == most]
    other = [key for key in best[1:] if most and not _equal(fits[best[0]], fits[key], names)]
    if other:
        raise RecipeError(
            f"{where}: holds weights of the model {_under(best[0])} and {_under(other[0])}; `ungrok convert FILE --key "
            f"{best[0] or other[0]}` writes those alone, and Python takes a state dict in the file's place"
        )
    return fits[best[0]]


def _states(content: Mapping[Any, Any]) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of a file by the name of the part where they stand; those of no part under no name."""
    parts = {str(key): part for key, part in content.items() if isinstance(part, Mapping)}
    return {key: _tensors(part) for key, part in ({"": content} | parts).items()}


def _tensors(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor], names: set[str]) -> bool:
    """Return whether two state dicts have the same of some names, and the same values there."""
    shared = names & one.keys()
    return shared == names & other.keys() and all(torch.equal(one[name], other[name]) for name in shared)


def _under(key: str) -> str:
    return f"under {key!r}" if key else "by themselves"


def fitting(model: nn.Module, weights: dict[str, Tensor], where: str, of: str = "the model") -> dict[str, Tensor]:
    """Return weights as a whole state dict of a model.

    Args:
        model: A fresh one.
        weights: What a file holds; tied weights may stand there once.
        where: Names the file in messages.
        of: What messages call the model.

    Raises:
        RecipeError: If they are not those of the model, or not finite.

    """
    try:
        weights = whole(model, weights)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None
    own = model.state_dict()
    expected = {name: tuple(value.shape) for name, value in own.items()}
    given = {name: tuple(value.shape) for name, value in weights.items()}
    unknown, missing = sorted(given.keys() - expected.keys()), sorted(expected.keys() - given.keys())
    if unknown or missing:
        lacking = f"; it lacks {', '.join(missing[:3])}" if missing else ""
        other = f" has {', '.join(unknown[:3])}, which {of} does not have" if unknown else " is not whole"
        raise RecipeError(f"{where}{other}{lacking}")
    for name in sorted(expected):
        if expected[name] != given[name]:
            raise RecipeError(f"{where} does not hold {of}: {name} has shape {given[name]}; {of} has {expected[name]}")
        if own[name].is_floating_point() and not weights[name].is_floating_point():
            kind = str(weights[name].dtype).removeprefix("torch.")
            raise RecipeError(f"{where} holds {name} as {kind}; weights are floating-point numbers")
        if not weights[name].isfinite().all():
            raise RecipeError(f"{where} holds values of {name} that are not finite")
    return weights


def convert(file: Path, out: Path, key: str | None = None) -> None:
    """Write the weights in a file that ``torch.save`` wrote as safetensors.

    Where the file holds more than tensors, this runs whatever code is in it.

    Args:
        file: A module or a mapping, of a source that the caller trusts.
        out: The new file.
        key: The part of the mapping that holds them; where None, the largest one.

    Raises:
        RecipeError: If it cannot be read, holds no weights, or the largest part is not the only one of its size.

    """
    content = _loaded(file)
    content = content.state_dict() if isinstance(content, nn.Module) else content
    if isinstance(content, Mapping):
        content = {name: part.state_dict() if isinstance(part, nn.Module) else part for name, part in content.items()}
    states = {name: state for name, state in _states(content).items() if state} if isinstance(content, Mapping) else {}
    if not states:
        raise RecipeError(
            f"{shown_file(file)} holds no weights; allowed: a module or its state dict, alone or in a dict"
        )
    if key is not None and key not in states:
        named = [*filter(None, states)]
        raise RecipeError(
            f"--key: {shown(key)} is not in {shown_file(file)}; allowed: {listed(named)}{nearest(key, named)}"
        )
    best, *other = sorted(states, key=lambda name: -len(states[name])) if key is None else [key]
    if other and len(states[other[0]]) == len(states[best]):
        raise RecipeError(
            f"{shown_file(file)} holds weights {_under(best)} and {_under(other[0])}; name one with --key"
        )
    save_tensors(out, states[best])


def _loaded(file: Path) -> Any:
    """Return what a file of ``torch.save`` holds; only what cannot be read as tensors is unpickled."""
    try:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except UnpicklingError:
            return torch.load(file, map_location="cpu", weights_only=False)
    except Exception as error:  # whatever unpickling a user's classes raises
        raise RecipeError(f"{shown_file(file)} cannot be read ({first_line(error)})") from error
