"""Methods that a recipe gives with several learning rates: the names of their entries, and which entries belong together."""

from __future__ import annotations

from collections.abc import Sequence

from ungrok.methods import Unlearner

Grid = dict[float, str]
"""The labels of one method at several learning rates, the smallest first."""


def rated(name: str, rate: float) -> str:
    """Return the name of one entry of a grid, for instance ``finetune lr=0.001``."""
    return f"{name} lr={float(rate):g}"


def grids(unlearners: Sequence[Unlearner]) -> dict[str, Grid]:
    """Return, per method that a recipe gives with several learning rates, its labels by rate."""
    every: dict[str, Grid] = {}
    for unlearner in unlearners:
        rate, label = getattr(unlearner, "lr", None), unlearner.label
        # The recipe puts its rate at the end of the label of each entry; the entries of a grid share what stands before it.
        if rate is not None and (name := label.removesuffix(rated("", rate))) != label:
            every.setdefault(name, {})[float(rate)] = label
    return {name: dict(sorted(grid.items())) for name, grid in every.items() if len(grid) > 1}
