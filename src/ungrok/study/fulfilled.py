"""Where a path fulfills a request for deletion, and what it damages: read from its rows beside those of the oracle."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from ungrok.methods import Unlearner
from ungrok.study.track import Row, Track

LOST = ("RA", "TA", "bystander_accuracy")
"""Accuracies whose loss beyond the oracle is damage."""

ROUNDING = 1e-9
"""Far below one example, as where targets are read."""


def judged_at_end(method: Unlearner) -> bool:
    """Return whether a method fulfills a request only at the end of its path: it stops by itself, or starts from fresh weights."""
    return method.self_stopping or method.from_scratch


def number(value: float | None) -> float:
    """Return a number; NaN for one that is missing."""
    return math.nan if value is None or pd.isna(value) else float(value)


def level(row: Row, tolerance: float) -> float:
    """Return how low UA must come; NaN without an oracle, of which no comparison is true."""
    return number(row["oracle_UA"]) + tolerance + ROUNDING


def damage(seeds: Sequence[tuple[dict[str, float], bool]]) -> dict[str, float]:
    """Return the mean losses over seeds that fulfilled the last request, over all where none did.

    TA is left out where bystander accuracy is known: a class that is forgotten lowers TA by itself.

    Args:
        seeds: For each the losses by accuracy, and whether it fulfilled the last request.

    """
    known = pd.DataFrame([losses for losses, kept in seeds if kept] or [losses for losses, _ in seeds])
    bystanders = bool(known["bystander_accuracy"].notna().all())
    means = known.drop(columns="TA" if bystanders else "bystander_accuracy").mean()
    return {str(name): float(mean) for name, mean in means.items()}


def lasts(method: Unlearner, tried: Sequence[Row]) -> bool:
    """Return whether the forgetting at the end of a path, or else at any place that was tried, stands a repair."""
    return any(bool(row["lasts"]) for row in (tried[-1:] if judged_at_end(method) else tried))


def fulfilled_at(track: Track, method: Unlearner, tolerance: float, tried: Sequence[Row] | None) -> tuple[Row, bool]:
    """Return the place at which a path fulfills a request, and True; or its end, and False.

    Args:
        track: The path.
        method: Its method.
        tolerance: How far UA may lie above the oracle's.
        tried: Places that were tried for whether they last, by increasing dose; None where a request need not last.

    """
    low_enough = level(track.start, tolerance)
    low = [row for row in track.places[1:] if number(row["UA"]) <= low_enough]
    if judged_at_end(method):
        stays = tried is None or lasts(method, tried)
        return track.end, stays and number(track.end["UA"]) <= low_enough
    if tried is not None:
        lasting = [float(row["dose"]) for row in tried if row["lasts"]]
        low = [row for row in low if any(math.isclose(row["dose"], dose) for dose in lasting)]
    return (low[0], True) if low else (track.end, False)
