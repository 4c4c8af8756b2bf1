"""Sets of examples as users have them: tensors, data sets and loaders, brought into memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ungrok.core.contents import Contents
from ungrok.core.entrance import entering
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.core.scores import evaluating
from ungrok.core.seeds import generator, seeded
from ungrok.data.base import Split
from ungrok.data.given import GivenData

FORMS = "(inputs, targets), a Dataset of such pairs, or a DataLoader or list of batches of them"
AnySplit = TypeVar("AnySplit", bound=Split)
BATCH = 1024
"""Examples that are read from a Dataset at a time."""


def read_set(role: str, given: Any) -> tuple[Split, Tensor | None]:
    """Return the examples of a set, and their identities where every batch has them as its third part.

    Args:
        role: The name of the set, for messages.
        given: Tensors ``(inputs, targets)`` of shapes (n, ...) and (n,), or ``(inputs, targets, index)``, int64 of shape (n,); a
            Dataset of such; a DataLoader or list of batches of such.

    Raises:
        RecipeError: If it is none of these, or holds no examples.

    """
    parts: list[tuple[Tensor, ...]] = []
    with entering(role, f"cannot be read as {FORMS}"), seeded(0):
        for raw in _batches(given):
            inputs, targets, *index = Classification().move(raw, torch.device("cpu"))
            if not isinstance(inputs, Tensor):
                raise RecipeError("holds inputs by name; allowed: one tensor of inputs, without a mask beside it")
            if targets.dtype != torch.int64 or targets.ndim != 1 or len(targets) != len(inputs):
                raise RecipeError(
                    f"holds targets {targets.dtype} of shape {tuple(targets.shape)} for {len(inputs)} inputs; allowed: one whole number each"
                )
            parts.append((inputs, targets, *index[:1]))
        if not sum(len(part[1]) for part in parts):
            raise RecipeError("holds no examples")
        inputs, targets, *index = (torch.cat(column) for column in zip(*parts, strict=True))
    return Split(inputs, targets), index[0] if index else None


def _batches(given: Any) -> Iterable[Any]:
    if isinstance(given, tuple | list) and given and isinstance(given[0], Tensor):
        return [given]
    if isinstance(given, DataLoader | list | tuple):
        return given
    if isinstance(given, Dataset) or (hasattr(given, "__getitem__") and hasattr(given, "__len__")):
        return DataLoader(given, BATCH)
    raise RecipeError(f"is a {type(given).__name__}; allowed: {FORMS}")


def given_data(sets: dict[str, Any], model: nn.Module) -> GivenData:
    """Return data from sets as :func:`read_set` takes them.

    Training examples stand in the order of their identities where forget and retain set have them, else forget examples first. Where there
    is no validation set, a random half of the test set takes its place.

    Args:
        sets: By name: forget, retain, test and validation, which may be None.
        model: Gives logits, one for each class.

    Raises:
        RecipeError: If a set cannot be read, an example is in both forget and retain, by its content or its identity, or a target is
            no class.

    """
    read = {role: read_set(role, given) for role, given in sets.items() if given is not None}
    classes = _outputs(model, read["forget"][0])
    for role, (split, _) in read.items():
        bad = [int(label) for label in split.targets.unique() if not 0 <= label < classes]
        if bad:
            raise RecipeError(
                f"{role}: holds the target {bad[0]}; allowed: 0 to {classes - 1}, the classes of the model"
            )
        if split.shape != read["forget"][0].shape:
            raise RecipeError(f"{role}: inputs have shape {split.shape}, those of forget {read['forget'][0].shape}")
    train, asked = _joined(read["forget"], read["retain"])
    seen = Contents()
    for role, (split, _) in read.items():
        seen.add(role, (split.inputs, split.targets), len(split))
    seen.check()
    test = read["test"][0]
    validation, test = (read["validation"][0], test) if "validation" in read else halves(test)
    return GivenData(train, validation, test, classes, torch.zeros(0, dtype=torch.int64), asked=asked)


def _outputs(model: nn.Module, examples: Split) -> int:
    """Return the number of logits."""
    with entering("model", "does not take the inputs of forget"), evaluating(model), torch.no_grad():
        shape = Classification().logits(model, examples.batch(slice(2))).shape
    if len(shape) != 2:
        raise RecipeError(f"model: gives {tuple(shape)} for two examples; wanted: logits, (2, number of classes)")
    return shape[1]


def _joined(forget: tuple[Split, Tensor | None], retain: tuple[Split, Tensor | None]) -> tuple[Split, Tensor]:
    """Return all training examples, and which of them are to be forgotten."""
    (gone, its), (left, theirs) = forget, retain
    assert isinstance(gone.inputs, Tensor)
    assert isinstance(left.inputs, Tensor)
    order = order_of(its, theirs, len(gone) + len(left))
    train = Split(torch.cat([gone.inputs, left.inputs])[order], torch.cat([gone.targets, left.targets])[order])
    return train, (order < len(gone)).nonzero().squeeze(1)


def order_of(its: Tensor | None, theirs: Tensor | None, count: int) -> Tensor:
    """Return the order of training examples that stand forget examples first: that of their identities, where both sets have such.

    Raises:
        RecipeError: If an identity is there twice.

    """
    if its is None or theirs is None:
        return torch.arange(count)
    index = torch.cat([its, theirs])
    values, counts = index.unique(return_counts=True)
    if len(values) < len(index):
        raise RecipeError(
            f"forget and retain: example {int(values[counts > 1][0])} is there twice; each belongs to one of them, once"
        )
    return index.argsort()


def halves(test: AnySplit) -> tuple[AnySplit, AnySplit]:
    """Return two random halves of the test set, for validation and for test.

    Raises:
        RecipeError: If there is nothing to halve.

    """
    order = torch.randperm(len(test), generator=generator(0, "validation"))
    half = len(test) // 2
    if not half:
        raise RecipeError("test: holds one example; allowed: at least two where no validation set is given")
    return test.of(order[:half].sort().values), test.of(order[half:].sort().values)  # type: ignore[return-value]
