"""A problem's data: disjoint train, validation and test splits, label corruption included."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.errors import RecipeError
from ungrok.core.registry import Registry
from ungrok.core.schema import Schema
from ungrok.core.seeds import generator
from ungrok.data.augment import Augment
from ungrok.data.pixels import Scale
from ungrok.data.stored import Index, Stored


@dataclass(frozen=True)
class Split:
    """Examples of one split.

    Models take what :meth:`batch` and :class:`ungrok.data.TensorBatches` give; ``inputs`` is how it is kept.

    Args:
        inputs: Shape (n, ...): what a model takes, or pixels, uint8 of shape (n, channels, height, width); pixels may
            lie on disk.
        targets: int64 of shape (n,).
        scale: Turns pixels into what a model takes; None where ``inputs`` is that already.

    """

    inputs: Tensor | Stored
    targets: Tensor
    scale: Scale | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.inputs.shape[1:])

    def of(self, index: Index) -> Split:
        """Return the examples that ``index`` selects."""
        inputs = self.inputs.of(index) if isinstance(self.inputs, Stored) else self.inputs[index]
        return replace(self, inputs=inputs, targets=self.targets[index])

    def to(self, device: torch.device) -> Split:
        """Return the split on ``device``; pixels that do not fit there stay on disk and are streamed to it."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))

    def batch(self, index: Index) -> Any:
        """Return the examples that ``index`` selects as a batch of the objective: inputs as a model takes them, and targets."""
        return self.ready(self.inputs[index]), self.targets[index]

    def batches(self, order: Tensor | None, parts: Sequence[slice]) -> Iterator[Any]:
        """Yield batches of the objective, part after part; arguments are those of :meth:`read`."""
        for inputs, targets in self.read(order, parts):
            yield self.ready(inputs), targets

    def read(self, order: Tensor | None, parts: Sequence[slice]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs as they are kept (see :meth:`ready`) and targets, part after part, on the split's device.

        Args:
            order: int64 of shape (n,) on the CPU; None for the order of the split.
            parts: Places in that order.

        """
        chosen = None if order is None else order.to(self.targets.device)
        if isinstance(self.inputs, Stored):
            batches = self.inputs.read(part if order is None else order[part] for part in parts)
            for part, inputs in zip(parts, batches, strict=True):
                yield inputs, _take(self.targets, part if chosen is None else chosen[part])
            return
        for part in parts:
            index = part if chosen is None else chosen[part]
            yield _take(self.inputs, index), _take(self.targets, index)

    def ready(self, inputs: Tensor) -> Tensor:
        """Return kept inputs as a model takes them."""
        return inputs if self.scale is None else self.scale(inputs)


def _take(tensor: Tensor, index: Index) -> Tensor:
    """Select along the first dimension; index_select copies whole examples, indexing by a tensor single elements."""
    return tensor[index] if isinstance(index, slice) else tensor.index_select(0, index)


@dataclass(frozen=True)
class Data:
    """The splits of a problem.

    Args:
        train: What the model is trained on, corrupted labels included.
        validation: Chooses stages and transitions; disjoint from ``train`` and ``test``.
        test: Only ever reported.
        classes: Number of classes.
        mislabeled: int64 indices into ``train`` of the examples whose label was corrupted.
        augment: What is done to training batches; never to any other.

    """

    train: Split
    validation: Split
    test: Split
    classes: int
    mislabeled: Tensor
    augment: Augment | None = None

    @property
    def outputs(self) -> int:
        """Number of logits of a model."""
        return self.classes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.train.shape

    def check_forget(self, forget: Tensor, label: str) -> None:
        """Raise NotApplicable where examples cannot be forgotten without forgetting others."""

    def to(self, device: torch.device) -> Data:
        """Return the data on ``device``; index tensors stay on the CPU."""
        return replace(
            self, train=self.train.to(device), validation=self.validation.to(device), test=self.test.to(device)
        )


class Problem(Schema):
    """Where the data come from and how they are split.

    The split and the corruption depend on ``data_seed`` alone, so every seed of a study sees the same data.
    """

    kind: str
    data_seed: int = Field(0, ge=0, description="seed of the split and of the label corruption")
    label_noise: float = Field(0.0, ge=0, lt=1, description="share of training labels replaced by another class")

    @abstractmethod
    def splits(self) -> tuple[Split, Split, Split, int]:
        """Return clean train, validation and test splits and the number of classes."""

    def augmentation(self) -> Augment | None:
        """Return what is done to training batches."""
        return None

    def warnings(self) -> list[str]:
        """Return what a reader of the report must know of the data."""
        return []

    def pinned(self) -> Self:
        """Return the problem with everything in it that its data depend on; job keys are made from this."""
        return self

    def load(self) -> Data:
        """Return the splits, with labels corrupted as the recipe says.

        Raises:
            RecipeError: If the data set does not hold as many examples as asked for.

        """
        train, validation, test, classes = self.splits()
        chosen = torch.zeros(0, dtype=torch.int64)
        if self.label_noise > 0:
            draw = generator(self.data_seed, "label noise")
            count = round(self.label_noise * len(train))
            chosen = torch.randperm(len(train), generator=draw)[:count].sort().values
            shift = torch.randint(1, classes, (count,), generator=draw)
            targets = train.targets.clone()
            targets[chosen] = (targets[chosen] + shift) % classes
            train = replace(train, targets=targets)
        return Data(train, validation, test, classes, chosen, self.augmentation())


PROBLEMS: Registry[Problem] = Registry("problem", "ungrok.problems", ("ungrok.data", "PROBLEMS.register"))


def cut(whole: Split, sizes: dict[str, int | None], seed: int) -> list[Split]:
    """Shuffle a data set with ``seed`` and cut it into parts, in the order of ``sizes``.

    Args:
        whole: All examples.
        sizes: Number of examples per part; the last may be None for all that is left.
        seed: Seed of the shuffle.

    Raises:
        RecipeError: If there are too few examples, or a part would be empty.

    """
    order = torch.randperm(len(whole), generator=generator(seed, "split"))
    wanted = sum(size or 0 for size in sizes.values())
    if wanted > len(whole) or 0 in sizes.values() or (None in sizes.values() and wanted == len(whole)):
        parts = ", ".join(f"{name} {'the rest' if size is None else size}" for name, size in sizes.items())
        raise RecipeError(f"problem: {parts} asked of {len(whole)} examples; every part must hold some")
    bounds, start = [], 0
    for size in sizes.values():
        stop = len(whole) if size is None else start + size
        bounds.append(whole.of(order[start:stop]))
        start = stop
    return bounds
