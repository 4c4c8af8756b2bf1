"""Stand-in until the search is merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from ungrok.study.track import Track


@dataclass(frozen=True)
class Choice:
    """A rate, and what it took."""

    rate: float
    updates: float
    damage: float | None


def chosen(tracks: Mapping[float, Track], target: float, damage: float) -> Choice | None:
    """Return the choice of one seed and side."""
    reached = []
    for rate, track in tracks.items():
        row = track.at(target)
        if row is not None:
            best, now = row.get("oracle_validation_accuracy"), row.get("validation_accuracy")
            lost = None if best is None or pd.isna(best) or now is None else best - now
            reached.append(Choice(rate, row["dose"], lost))
    fit = [choice for choice in reached if choice.damage is None or choice.damage <= damage]
    if fit:
        return min(fit, key=lambda choice: (choice.updates, choice.rate))
    return min(reached, key=lambda choice: (choice.damage, choice.rate)) if reached else None


def grid_of(labels: Iterable[str], label: str) -> dict[float, str]:
    """Return the labels of a grid by rate; the nominal one is not known here."""
    return {float(name.removeprefix(f"{label} lr=")): name for name in labels if name.startswith(f"{label} lr=")}
