"""Sets of a language model as users have them: dicts of tokens, data sets of such, loaders, brought into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ungrok.core.causal_lm import IGNORED, KEYS, CausalLM
from ungrok.core.entrance import entering
from ungrok.core.errors import RecipeError
from ungrok.core.scores import evaluating
from ungrok.core.seeds import seeded
from ungrok.data.given_text import GivenAnswers, questions_of, texts_of
from ungrok.data.sets import halves, order_of
from ungrok.data.tokens import TokenSplit

FORMS = "dicts with input_ids and labels, a Dataset of such, or a DataLoader or list of batches of them"


def read_tokens(role: str, given: Any, pad: int, eos: int | None) -> tuple[TokenSplit, Tensor | None]:
    """Return the examples of a set, and their identities where every batch has them under ``index``.

    Args:
        role: The name of the set, for messages.
        given: A dict of tensors as :class:`ungrok.core.causal_lm.CausalLM` takes it, or a DataLoader or list of such; or a Dataset or list of
            single examples, each a dict with ``input_ids`` and ``labels``, lists or tensors of shape (length,).
        pad: The id that pads.
        eos: The id that ends answers; None where none does.

    Raises:
        RecipeError: If it is none of these, or holds no examples.

    """
    with entering(role, f"cannot be read as {FORMS}"), seeded(0):
        batches = [_checked(batch) for batch in _batches(given)]
        if not sum(len(batch["input_ids"]) for batch in batches):
            raise RecipeError("holds no examples")
        split = _split(batches, pad, eos)
        indexed = all("index" in batch for batch in batches)
        return split, torch.cat([batch["index"] for batch in batches]) if indexed else None


def _batches(given: Any) -> Iterator[Any]:
    if isinstance(given, Mapping):
        yield given
        return
    if isinstance(given, str | Tensor) or not (isinstance(given, DataLoader) or hasattr(given, "__getitem__")):
        raise RecipeError(f"is a {type(given).__name__}; allowed: {FORMS}")
    whole = isinstance(given, DataLoader | list | tuple)
    for one in given if whole else (given[i] for i in range(len(given))):
        yield _alone(one) if _is_single(one) else one


def _is_single(example: Any) -> bool:
    ids = example.get("input_ids") if isinstance(example, Mapping) else None
    return isinstance(ids, Sequence) or (isinstance(ids, Tensor) and ids.ndim == 1)


def _alone(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return a single example as a batch of one."""
    batch = {name: _alone(value) if _is_single(value) else value for name, value in example.items()}
    batch.setdefault("attention_mask", [1] * len(example["input_ids"]))
    known = {name: batch[name] for name in (*KEYS, "index", "classes") if name in batch}
    return batch | {name: torch.as_tensor(value).unsqueeze(0) for name, value in known.items()}


def _checked(raw: Any) -> dict[str, Any]:
    """Return a batch in the one form, every example of it beginning at the first place and without gaps."""
    objective = CausalLM()
    batch: dict[str, Any] = objective.move(raw, torch.device("cpu"))
    objective.check_form(batch)
    mask = batch["attention_mask"]
    if (mask[:, 1:] > mask[:, :-1]).any():
        raise RecipeError("attention_mask: a text has padding in its middle; allowed: before or after it")
    return batch


def _split(batches: Sequence[Mapping[str, Any]], pad: int, eos: int | None) -> TokenSplit:
    """Return all examples of some batches, with the other answers that all of them hold."""
    names = [name for name in batches[0] if all(isinstance(batch.get(name), Mapping) for batch in batches)]
    lengths = torch.cat([batch["attention_mask"].sum(dim=1) for batch in batches])
    width, count = int(lengths.max()), len(lengths)
    grouped = all("classes" in batch for batch in batches)
    return TokenSplit(
        inputs=torch.cat([_wide(batch["input_ids"], width, pad) for batch in batches]),
        targets=torch.cat([batch["classes"] for batch in batches])
        if grouped
        else torch.zeros(count, dtype=torch.int64),
        labels=torch.cat([_wide(batch["labels"], width, IGNORED) for batch in batches]),
        lengths=lengths,
        index=torch.arange(count),
        side="right",
        pad=pad,
        eos=eos,
        others={name: _split([batch[name] for batch in batches], pad, eos) for name in names},
    )


def _wide(rows: Tensor, width: int, value: int) -> Tensor:
    """Return rows cut or filled up to a width; no row is longer than that, padding aside."""
    return F.pad(rows[:, :width], (0, max(0, width - rows.shape[1])), value=value)


def given_answers(sets: dict[str, Any], model: nn.Module, tokenizer: Any) -> GivenAnswers:
    """Return data of a language model from sets as :func:`read_tokens` takes them.

    Training examples stand in the order of their identities where forget and retain set have them, else forget examples first. Where there
    is no validation set, a random half of the test set takes its place. The test set serves as the texts that no model was trained on, too.

    Args:
        sets: By name: forget, retain, test and validation, which may be None.
        model: A causal language model.
        tokenizer: Its tokenizer, one of transformers.

    Raises:
        RecipeError: If a set cannot be read, an example is in both forget and retain, or a token is not in the model's vocabulary.

    """
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id or 0
    read = {role: read_tokens(role, given, pad, eos) for role, given in sets.items() if given is not None}
    for role, (split, _) in read.items():
        with entering(role, "the model does not take its examples"), evaluating(model), torch.no_grad():
            vocabulary = CausalLM().logits(model, split.batch(slice(1))).shape
            CausalLM().check(split.batch(slice(None)), vocabulary)
    (gone, its), (left, theirs) = read["forget"], read["retain"]
    order = order_of(its, theirs, len(gone) + len(left))
    train, test = _together(gone, left).of(order), read["test"][0]
    validation, test = (read["validation"][0], test) if "validation" in read else halves(test)
    held_out = _numbered(test)
    return GivenAnswers(
        train=_numbered(train),
        validation=_numbered(validation),
        test=held_out,
        classes=int(max(part.targets.max() for part in (train, validation, test))) + 1,
        mislabeled=torch.zeros(0, dtype=torch.int64),
        tokenizer=tokenizer,
        base=None,
        others=train.others,
        held_out=held_out,
        probes=questions_of(_numbered(train)),
        rows=texts_of(train, tokenizer),
        asked=(order < len(gone)).nonzero().squeeze(1),
    )


def _together(one: TokenSplit, other: TokenSplit) -> TokenSplit:
    """Return the examples of two sets, with the other answers that both of them hold."""
    names = [name for name in one.others if name in other.others]
    parts = [part.batch(slice(None)) for part in (replace(one, others={}), replace(other, others={}))]
    joined = _split(parts, one.pad, one.eos)
    return replace(joined, others={name: _together(one.others[name], other.others[name]) for name in names})


def _numbered(split: TokenSplit) -> TokenSplit:
    """Return a split whose identities are its rows, without other answers."""
    return replace(split, index=torch.arange(len(split)), others={})
