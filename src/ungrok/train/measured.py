"""Fewer examples where a training is measured between its first step and its last."""

from __future__ import annotations

import torch
from pydantic import Field

from ungrok.core.schema import Schema
from ungrok.core.seeds import generator
from ungrok.data.base import Split


class Measured(Schema):
    """How many examples of each split are measured between the first step and the last, where all are.

    They are drawn once: the same at every step, for every seed, and for oracles, of what is left to them. Accuracies, losses and the norm of the
    gradient between the ends, and with them stages and transitions, are those of the drawn examples. A split whose examples are followed one by one is measured whole.
    """

    train: int | None = Field(None, ge=1, description="training examples; all when null")
    validation: int | None = Field(None, ge=1, description="validation examples; all when null")
    test: int | None = Field(None, ge=1, description="test examples; all when null")

    def part(self, name: str, split: Split) -> Split:
        """Return the examples of a split that are measured, in their order.

        Args:
            name: ``train``, ``validation`` or ``test``.
            split: All examples of it.

        """
        asked: int | None = getattr(self, name)
        if asked is None or asked >= len(split):
            return split
        drawn = torch.randperm(len(split), generator=generator(0, f"measured of {name}"))[:asked]
        return split.of(drawn.sort().values)


class Parts:
    """What a training measures between the first step and the last: each split is drawn once, and kept as a model takes it.

    Args:
        rule: Says how many examples.

    """

    def __init__(self, rule: Measured) -> None:
        self._rule = rule
        self._kept: dict[str, tuple[Split, Split]] = {}

    def of(self, name: str, split: Split) -> Split:
        """Return the examples of a split; arguments are those of :meth:`Measured.part`."""
        if name not in self._kept or self._kept[name][0] is not split:
            part = self._rule.part(name, split)
            self._kept[name] = split, part if part is split else part.prepared()
        return self._kept[name][1]
