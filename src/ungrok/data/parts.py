"""One data set cut into parts at random."""

from __future__ import annotations

import torch

from ungrok.core.errors import RecipeError
from ungrok.core.seeds import generator
from ungrok.data.base import Split


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
        raise RecipeError(f"problem: {parts} asked of {len(whole)} examples; every part must hold at least one")
    bounds, start = [], 0
    for size in sizes.values():
        stop = len(whole) if size is None else start + size
        bounds.append(whole.of(order[start:stop]))
        start = stop
    return bounds
