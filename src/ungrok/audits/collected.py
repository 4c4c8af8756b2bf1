"""A caller's batches as examples that can be taken by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ungrok.core.contents import Contents
from ungrok.core.entrance import Entrance, enter, entering
from ungrok.core.errors import RecipeError
from ungrok.core.forms import rows_of
from ungrok.core.objective import Batch, Batches, Objective
from ungrok.core.scores import evaluating


class Collected:
    """Batches read once and kept as one; see :class:`ungrok.audits.base.Examples`.

    Args:
        batches: In the objective's form, on the device on which they are to be kept.
        objective: Joins them.

    Raises:
        RecipeError: If there are none.

    """

    def __init__(self, batches: Sequence[Batch], objective: Objective) -> None:
        if not batches:
            raise RecipeError("holds no batches")
        self._whole = objective.join(*batches) if len(batches) > 1 else batches[0]
        self._size = objective.size(self._whole)

    def __len__(self) -> int:
        return self._size

    def batch(self, index: Tensor) -> Batch:
        """Return the examples that ``index`` (int64) selects, in its order."""
        return rows_of(self._whole, index)


@torch.no_grad()
def collected(objective: Objective, model: nn.Module, sets: Mapping[str, Batches]) -> dict[str, Collected]:
    """Return sets, each read once, checked, and kept on the CPU.

    Args:
        objective: How a batch becomes logits and losses.
        model: Runs on a batch of each kind, in eval mode.
        sets: By name.

    Raises:
        RecipeError: If a set is empty or a batch cannot be taken; the message begins with the name of the set. If an example stands in
            forget and in retain, by its content.

    """
    entrance, cpu, kept, seen = Entrance(objective), torch.device("cpu"), {}, Contents()
    with evaluating(model):
        for role, batches in sets.items():
            parts = []
            for raw in batches:
                with entering(role):
                    batch = enter(objective, model, raw)
                entrance.inspect(role, batch, partial(objective.logits, model))
                parts.append(objective.move(batch, cpu))
                seen.add(role, parts[-1], objective.size(parts[-1]))
            with entering(role):
                kept[role] = Collected(parts, objective)
    seen.check()
    return kept
