"""Methods that a recipe gives with several learning rates: the names of their entries, and which entries belong together."""

from __future__ import annotations

from collections.abc import Sequence

from ungrok.core.schema import canonical
from ungrok.methods import Unlearner

Grid = dict[float, str]
"""The labels of one method at several learning rates, the smallest first."""


def rated(name: str, rate: float) -> str:
    """Return the name of one entry of a grid, for instance ``finetune lr=0.001``."""
    return f"{name} lr={float(rate):g}"


def grids(unlearners: Sequence[Unlearner]) -> dict[str, Grid]:
    """Return, per method that a recipe gives with several learning rates, its labels by rate."""
    alike: dict[tuple[str, str], Grid] = {}
    for unlearner in unlearners:
        rate, label = getattr(unlearner, "lr", None), unlearner.label
        # Entries of a grid differ in nothing but the rate, which the recipe has put at the end of their labels.
        if rate is not None and (name := label.removesuffix(rated("", rate))) != label:
            settings = {key: value for key, value in unlearner.to_dict().items() if key not in ("name", "lr")}
            alike.setdefault((name, canonical(settings)), {})[float(rate)] = label
    return {name: dict(sorted(grid.items())) for (name, _), grid in alike.items() if len(grid) > 1}
