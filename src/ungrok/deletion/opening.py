"""Model and data of a deletion from the command line: a file or folder, and a function of the user's that gives the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from ungrok.core.causal_lm import CausalLM
from ungrok.core.entrance import check_model, entering
from ungrok.core.errors import RecipeError, listed, nearest, shown, shown_file
from ungrok.core.objective import Batches
from ungrok.core.pretrained import open_model, tokenizer_in
from ungrok.core.users_function import called
from ungrok.core.weight_files import fitting, read_weights, state_in
from ungrok.data.tokens import Template, encode
from ungrok.study.single import read_indices, read_keys

BATCH = 32
"""Examples of a batch where the user's function does not say."""

PASSED = ("objective", "oracle", "validation", "factory", "base", "tokenizer")
"""Keys that are passed on as they are; see :func:`ungrok.delete`."""

KEYS = ("model", "train", "forget", "retain", "test", "keys", "collate", "batch_size", "prompt", *PASSED)
"""What the user's function may give; docs/delete.md says what each is."""


def opened(model: Path, data: str, forget: Path | None, option: str = "MODEL") -> dict[str, Any]:
    """Return the arguments of :func:`ungrok.deletion.inputs.checked` that model and data make.

    Args:
        model: A file of the weights of the model that the function gives, as :func:`ungrok.core.weight_files.read_weights` takes it,
            or a folder of transformers.
        data: ``module:function``; the function returns a mapping with some of :data:`KEYS`.
        forget: File of indices into ``train``, as :func:`ungrok.study.single.read_indices` takes it, or of keys where the function
            gives ``keys``; see :func:`ungrok.study.single.read_keys`.
        option: What messages call the model.

    Raises:
        RecipeError: If something is missing, cannot be read, or does not belong together.

    """
    given = called(data, "--data", KEYS)
    for key in given:
        if key not in KEYS:
            raise RecipeError(f"--data: {shown(key)} is not known; allowed: {listed(KEYS)}{nearest(str(key), KEYS)}")
    tokenizer = given.get("tokenizer") or (tokenizer_in(model) if model.is_dir() else None)
    passed = {name: given[name] for name in PASSED if given.get(name) is not None}
    if tokenizer is not None:
        passed["tokenizer"] = tokenizer
        passed.setdefault("objective", CausalLM(tokenizer.eos_token_id))
    return passed | {"model": _model(model, given, option)} | _sets(given, forget, tokenizer)


def _model(path: Path, given: Mapping[str, Any], option: str) -> nn.Module:
    """Return the model with its weights."""
    if path.is_dir():
        return open_model(str(path), None, None, torch.float32)  # type: ignore[no-any-return]
    model = given.get("model")
    if model is None:
        raise RecipeError(
            f"--data: gives no 'model', into which the weights of {option} belong; give it, or a function that makes it"
        )
    if not isinstance(model, nn.Module):
        with entering("--data", "'model' cannot be called"):
            model = model()
    check_model("--data: 'model'", model)
    where = f"{option}: {shown_file(path)}"
    state = state_in(read_weights(path, option), {*model.state_dict()}, where)
    model.load_state_dict(fitting(model, state, where, "the model that --data gives"))
    return model


def _sets(given: Mapping[str, Any], forget: Path | None, tokenizer: Any) -> dict[str, Batches]:
    """Return the three sets as batches."""
    roles = ("forget", "retain", "test") if forget is None else ("train", "test")
    missing = [role for role in roles if given.get(role) is None]
    if missing:
        other = ""
        if forget is None and "train" in given:
            other = "; name what is to go with --forget FILE"
        elif forget is not None and missing[0] == "train" and "forget" in given:
            other = ", of which --forget names some; it gives 'forget' itself, so leave out --forget"
        raise RecipeError(f"--data: gives no {missing[0]!r}{other}")
    if forget is None:
        return {role: _set(given[role], given, tokenizer) for role in roles}
    examples = {role: _examples(given[role]) for role in roles}
    for role in roles:
        if examples[role] is None:
            raise RecipeError(
                f"--data: {role!r} is a {type(given[role]).__name__}; allowed: examples that can be taken by number"
            )
    train, test = examples["train"], examples["test"]
    keys = given.get("keys")
    chosen = read_indices(forget, len(train)) if keys is None else read_keys(forget, keys, len(train))
    others = sorted({*range(len(train))} - {*chosen})
    parts = {"forget": (train, chosen), "retain": (train, others), "test": (test, [*range(len(test))])}
    return {role: _batches(*part, given, tokenizer) for role, part in parts.items()}


def _set(value: Any, given: Mapping[str, Any], tokenizer: Any) -> Batches:
    """Return a set as batches: a loader or a list of batches as it is, else its examples."""
    examples = None if isinstance(value, list | tuple) and not _columns(value) else _examples(value)
    return value if examples is None else _batches(examples, [*range(len(examples))], given, tokenizer)


def _examples(value: Any) -> Any:
    """Return examples that can be taken by number, tensors ``(inputs, targets)`` being such; None where they cannot."""
    if _columns(value):
        return TensorDataset(*value)
    return value if hasattr(value, "__len__") and hasattr(value, "__getitem__") else None


def _columns(value: Any) -> bool:
    """Return whether a value is a tuple of tensors with one row for each example."""
    tensors = (
        isinstance(value, tuple) and len(value) > 0 and all(isinstance(part, Tensor) and part.ndim for part in value)
    )
    return tensors and len({*map(len, value)}) == 1


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
