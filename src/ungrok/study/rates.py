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
    alike: dict[str, dict[float, Unlearner]] = {}
    for unlearner in unlearners:
        if (rate := getattr(unlearner, "lr", None)) is not None:
            settings = unlearner.to_dict()
            same = canonical({key: value for key, value in settings.items() if key not in ("name", "lr")})
            alike.setdefault(same, {})[float(rate)] = unlearner
    every = (_grid(dict(sorted(entries.items()))) for entries in alike.values())
    return dict(named for named in every if named is not None)


def _grid(entries: dict[float, Unlearner]) -> tuple[str, Grid] | None:
    """Return name and labels of entries that differ in nothing but the rate; None if a recipe's grid did not make them."""
    labels = {rate: unlearner.label for rate, unlearner in entries.items()}
    names = {label.removesuffix(rated("", rate)) for rate, label in labels.items()}
    if len(labels) < 2 or len(names) > 1 or names & set(labels.values()):
        return None
    return names.pop(), labels
