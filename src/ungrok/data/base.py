"""A problem's data: disjoint train, validation and test splits, label corruption included."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.errors import RecipeError
from ungrok.core.registry import Registry
from ungrok.core.schema import Schema
from ungrok.core.seeds import generator


@dataclass(frozen=True)
class Split:
    """Inputs of shape (n, ...) and int64 targets of shape (n,)."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def of(self, index: Tensor) -> Split:
        """Return the examples that ``index`` selects."""
        return Split(self.inputs[index], self.targets[index])

    def to(self, device: torch.device) -> Split:
        """Return the split on ``device``."""
        return Split(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Data:
    """The splits of a problem.

    Args:
        train: What the model is trained on, corrupted labels included.
        validation: Chooses stages and transitions; disjoint from ``train`` and ``test``.
        test: Only ever reported.
        classes: Number of classes.
        mislabeled: int64 indices into ``train`` of the examples whose label was corrupted.

    """

    train: Split
    validation: Split
    test: Split
    classes: int
    mislabeled: Tensor

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
            train = Split(train.inputs, targets)
        return Data(train, validation, test, classes, chosen)


PROBLEMS: Registry[Problem] = Registry("problem", "ungrok.problems")


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
