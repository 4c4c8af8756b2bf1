"""Model and data of a deletion from the command line: a file or folder, and a function of the user's that gives the data."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from ungrok.core.causal_lm import CausalLM
from ungrok.core.entrance import entering
from ungrok.core.errors import RecipeError, first_line, listed, nearest, shown, shown_file
from ungrok.core.files import load_tensors
from ungrok.core.objective import Batches
from ungrok.core.pretrained import open_model, open_tokenizer
from ungrok.core.weights import whole
from ungrok.data.tokens import Template, encode
from ungrok.study.single import read_indices

BATCH = 32
"""Examples of a batch where the user's function does not say."""

PASSED = ("objective", "oracle", "validation", "factory", "base", "tokenizer")
"""Keys that are passed on as they are; see :func:`ungrok.delete`."""

KEYS = ("model", "train", "forget", "retain", "test", "collate", "batch_size", "prompt", *PASSED)
"""What the user's function may give; docs/delete.md says what each is."""


def opened(model: Path, data: str, forget: Path | None) -> dict[str, Any]:
    """Return the arguments of :func:`ungrok.deletion.inputs.checked` that model and data make.

    Args:
        model: A safetensors file of the weights of the model that the function gives, or a folder of transformers.
        data: ``module:function``; the function returns a mapping with some of :data:`KEYS`.
        forget: File of indices into ``train``, as :func:`ungrok.study.single.read_indices` takes it.

    Raises:
        RecipeError: If something is missing, cannot be read, or does not belong together.

    """
    given = called(data)
    tokenizer = given.get("tokenizer") or (_tokenizer(model) if model.is_dir() else None)
    passed = {name: given[name] for name in PASSED if given.get(name) is not None}
    if tokenizer is not None:
        passed["tokenizer"] = tokenizer
        passed.setdefault("objective", CausalLM(tokenizer.eos_token_id))
    return passed | {"model": _model(model, given)} | _sets(given, forget, tokenizer)


def called(data: str) -> Mapping[str, Any]:
    """Return what the user's function gives.

    Args:
        data: ``module:function``; the module may lie in the current folder.

    Raises:
        RecipeError: If there is no such function, it fails, or gives something else than a mapping with known keys.

    """
    module, _, name = data.partition(":")
    if not (module and name.isidentifier()):
        raise RecipeError(f"--data: {shown(data)} is not allowed; allowed: module:function, for instance mydata:sets")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(import_module(module), name, None)
        if not callable(function):
            raise RecipeError(f"--data: {shown(module)} has no function {shown(name)}")
        with entering("--data", f"{shown(data)} cannot be called"):
            given = function()
    except ImportError as error:
        raise RecipeError(f"--data: {shown(module)} cannot be imported ({first_line(error)})") from None
    finally:
        sys.path.remove(str(Path.cwd()))
    if not isinstance(given, Mapping):
        raise RecipeError(f"--data: {shown(data)} gives a {type(given).__name__}; allowed: a dict with {listed(KEYS)}")
    for key in given:
        if key not in KEYS:
            raise RecipeError(f"--data: {shown(key)} is not known; allowed: {listed(KEYS)}{nearest(str(key), KEYS)}")
    return given


def _model(path: Path, given: Mapping[str, Any]) -> nn.Module:
    """Return the model with its weights."""
    if path.is_dir():
        return open_model(str(path), None, None, torch.float32)  # type: ignore[no-any-return]
    model = given.get("model")
    if model is None:
        raise RecipeError(
            "--data: gives no 'model', into which the weights of MODEL belong; give it, or a function that makes it"
        )
    if not isinstance(model, nn.Module):
        with entering("--data", "'model' cannot be called"):
            model = model()
    with entering("MODEL", f"{shown_file(path)} does not hold the weights of the model that --data gives"):
        model.load_state_dict(whole(model, load_tensors(path)))
    return model


def _tokenizer(folder: Path) -> Any:
    """Return the tokenizer in a folder, None where there is none."""
    there = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    return open_tokenizer(str(folder)) if there else None


def _sets(given: Mapping[str, Any], forget: Path | None, tokenizer: Any) -> dict[str, Batches]:
    """Return the three sets as batches."""
    roles = ("forget", "retain", "test") if forget is None else ("train", "test")
    missing = [role for role in roles if given.get(role) is None]
    if missing:
        other = "" if forget is not None or "train" not in given else "; name what is to go with --forget FILE"
        raise RecipeError(f"--data: gives no {missing[0]!r}{other}")
    if forget is None:
        return {role: given[role] for role in roles}
    for role in roles:
        if not (hasattr(given[role], "__len__") and hasattr(given[role], "__getitem__")):
            raise RecipeError(
                f"--data: {role!r} is a {type(given[role]).__name__}; allowed: examples that can be taken by number"
            )
    chosen = read_indices(forget, len(given["train"]))
    others = sorted({*range(len(given["train"]))} - {*chosen})
    numbers = {"forget": chosen, "retain": others, "test": [*range(len(given["test"]))]}
    examples = {"forget": given["train"], "retain": given["train"], "test": given["test"]}
    return {role: _batches(examples[role], numbers[role], given, tokenizer) for role in numbers}


def _batches(examples: Any, numbers: list[int], given: Mapping[str, Any], tokenizer: Any) -> Batches:
    """Return some of a user's examples as batches, in their order."""
    size, collate = given.get("batch_size") or BATCH, given.get("collate")
    chosen: Any = Subset(examples, numbers)
    if collate is not None or tokenizer is None:
        return DataLoader(chosen, batch_size=size, collate_fn=collate)
    pairs = [_pair(chosen[i]) for i in range(len(chosen))]
    if None in pairs:
        from transformers import DataCollatorForSeq2Seq

        return DataLoader(chosen, batch_size=size, collate_fn=DataCollatorForSeq2Seq(tokenizer))
    prompt = given.get("prompt")
    template = Template("plain", prompt) if prompt else Template("chat" if tokenizer.chat_template else "plain")
    coded = encode(pairs, tokenizer, template, index=numbers, where="--data")  # type: ignore[arg-type]
    return [coded.batch(part) for part in torch.arange(len(coded)).split(size)]


def _pair(example: Any) -> tuple[str, str] | None:
    """Return question and answer of an example; None where it is not a pair of texts."""
    if isinstance(example, Mapping) and {"question", "answer"} <= example.keys():
        example = (example["question"], example["answer"])
    texts = isinstance(example, Sequence) and len(example) == 2 and all(isinstance(text, str) for text in example)
    return (example[0], example[1]) if texts else None
