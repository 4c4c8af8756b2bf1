"""The forms in which batches and outputs come, and the one form in which the program works with them.

Batches of a classifier become ``(inputs, targets)`` or ``(inputs, targets, index)``: targets int64 of shape (n,), inputs a
tensor, or a dict of tensors that the model takes by name. Those of a language model become a dict of tensors with one row for
each example, padded on the right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ungrok.core.errors import NotApplicable, RecipeError

LABELS = ("labels", "label")
"""Keys under which the dicts of a classifier may hold the targets."""

WHOLE = (torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32, torch.int64)
"""Types of whole numbers."""


def as_parts(batch: Any) -> tuple[Any, ...]:
    """Return a classifier's batch as ``(inputs, targets, ...)``, targets of whole numbers as int64 of shape (n,).

    Raises:
        RecipeError: If it is no tuple or list of tensors, or its third part is not int64 of shape (n,).

    """
    if not isinstance(batch, tuple | list):
        raise RecipeError(
            f"a batch is a {type(batch).__name__}; allowed: (inputs, targets), so give a DataLoader or a list of batches, "
            "for instance [(X, y)]"
        )
    if len(batch) < 2:
        raise RecipeError(f"a batch has {len(batch)} parts; allowed: (inputs, targets) or (inputs, targets, index)")
    inputs, targets, *rest = batch
    if isinstance(inputs, Mapping):
        inputs = dict(inputs)
    for part in (*(inputs.values() if isinstance(inputs, dict) else [inputs]), targets, *rest):
        if not isinstance(part, Tensor):
            raise RecipeError(
                f"a batch holds a value of type {type(part).__name__}; allowed: tensors, for instance from a DataLoader"
            )
    targets = as_classes(targets)
    if rest and (rest[0].dtype != torch.int64 or rest[0].shape != targets.shape[:1]):
        raise RecipeError(
            f"the third part of a batch is {rest[0].dtype} of shape {tuple(rest[0].shape)}; allowed: the identities of its "
            "examples, int64 of shape (n,)"
        )
    return (inputs, targets, *rest)


def as_classes(targets: Tensor) -> Tensor:
    """Return whole numbers of shape (n,) or (n, 1) as int64 of shape (n,), and other targets as they are."""
    if targets.dtype in WHOLE and targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    return targets.long() if targets.dtype in WHOLE and targets.ndim == 1 else targets


def parts_by_name(batch: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return a classifier's dict as ``(inputs, targets)``, or with an index, the inputs being a dict.

    Targets stand under ``labels`` or ``label``, identities under ``index``; all other tensors with one row for each example are
    inputs.

    Raises:
        RecipeError: If there are no targets, no inputs, or labels for every token.

    """
    label = next((name for name in LABELS if name in batch), None)
    if label is None or not isinstance(batch[label], Tensor):
        raise RecipeError(
            f"a batch is a dict with {', '.join(map(str, batch))}, but no tensor {LABELS[0]!r}; allowed: the model's inputs by "
            "name, labels, and index; for a language model give objective=CausalLM()"
        )
    if is_text(batch):
        raise RecipeError(
            "a batch is a dict with a label for every token, but Classification takes one for each example; for a language "
            "model give objective=CausalLM()"
        )
    count = len(batch[label]) if batch[label].ndim else 0
    inputs = {name: value for name, value in batch.items() if name not in {label, "index"} and _has_rows(value, count)}
    if not inputs:
        raise RecipeError(
            f"a batch is a dict with {', '.join(map(str, batch))}, which holds no inputs; allowed: tensors"
        )
    return (inputs, batch[label], batch["index"]) if "index" in batch else (inputs, batch[label])


def is_text(batch: Any) -> bool:
    """Return whether a batch is a dict whose labels have the shape of its ``input_ids``: one label for every token."""
    if not isinstance(batch, Mapping) or not {"input_ids", "labels"} <= batch.keys():
        return False
    ids, labels = batch["input_ids"], batch["labels"]
    return isinstance(ids, Tensor) and isinstance(labels, Tensor) and ids.ndim == 2 and ids.shape == labels.shape


def _has_rows(value: Any, count: int) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0 and len(value) == count


def as_text(batch: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return a language model's batch as a plain dict of tensors with one row for each example, padded on the right.

    Keys of ``keys`` that hold whole numbers become int64. Other answers, dicts with the same keys, are treated alike. What
    has no row for each example (texts, names, counts) is left out; ``keys`` stay whatever they are, for a check to refuse.

    Raises:
        RecipeError: If it is no dict.

    """
    if not isinstance(batch, Mapping):
        raise RecipeError(f"a batch is a {type(batch).__name__}, but CausalLM takes a dict with {', '.join(keys)}")
    ids = batch.get("input_ids")
    count = len(ids) if isinstance(ids, Tensor) and ids.ndim else None
    taken: dict[str, Any] = {}
    for name, value in batch.items():
        if isinstance(value, Mapping):
            if "input_ids" in value:
                taken[name] = as_text(value, keys)
        elif name in keys and isinstance(value, Tensor) and value.dtype in (*WHOLE, torch.bool):
            taken[name] = value.long()
        elif name in (*keys, "index") or (count is not None and _has_rows(value, count)):
            taken[name] = value
    return _to_the_left(taken, keys)


def _to_the_left(batch: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return a batch whose examples begin at the first place: then positions count from there, whatever wraps the model."""
    tensors = [batch.get(key) for key in keys]
    if not all(isinstance(t, Tensor) and t.ndim == 2 and t.shape == tensors[0].shape for t in tensors):  # type: ignore[union-attr]
        return batch
    mask: Tensor = batch["attention_mask"]
    if mask.is_meta or mask.numel() == 0 or not (mask[:, 0] == 0).any():
        return batch
    before = (mask.cumsum(dim=1) == 0).sum(dim=1, keepdim=True)
    places = (torch.arange(mask.shape[1], device=mask.device) + before) % mask.shape[1]
    return batch | {key: batch[key].gather(1, places) for key in keys}


def logits_in(output: Any) -> Tensor:
    """Return the logits of a model's output: the output itself, or what it holds under ``logits``.

    Raises:
        RecipeError: If there are none.

    """
    logits = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        kind = f"{logits.dtype} tensor" if isinstance(logits, Tensor) else type(output).__name__
        raise RecipeError(
            f"the model's output is a {kind}; allowed: logits of floating point, or an output with `logits`; an objective of "
            "your own can take them out of anything"
        )
    return logits


def in_single(values: Tensor) -> Tensor:
    """Return values in float32 at least."""
    return values if values.dtype == torch.float64 else values.float()


def inputs_of(batch: Any, kind: str, *, moved: bool = False) -> Tensor:
    """Return the inputs of a classifier's batch, for what looks at them.

    Args:
        batch: In its one form.
        kind: Who looks at them.
        moved: Whether they are to be moved a little.

    Raises:
        NotApplicable: If the batch is not ``(inputs, targets)`` with a tensor of inputs, of floating point where they are moved.

    """
    if moved and isinstance(batch, tuple) and isinstance(batch[0], Tensor) and not batch[0].is_floating_point():
        raise NotApplicable(f"{kind}: moves inputs a little, which those of {batch[0].dtype} cannot be")
    if isinstance(batch, tuple | list) and len(batch) >= 2 and isinstance(batch[0], Tensor):
        return batch[0]
    what = "inputs by name" if isinstance(batch, tuple | list) else type(batch).__name__
    raise NotApplicable(f"{kind}: takes batches of (inputs, targets), not {what}")


def rows_of(part: Any, chosen: Tensor | slice) -> Any:
    """Return the rows of a tensor, or of every tensor inside dicts and tuples, that an index or a slice selects."""
    return tree_map(lambda t: t[chosen.to(t.device) if isinstance(chosen, Tensor) else chosen], part)


def stacked(parts: list[Any]) -> Any:
    """Return tensors, or dicts of tensors, one after another."""
    if isinstance(parts[0], Mapping):
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return torch.cat(parts)
