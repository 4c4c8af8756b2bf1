"""When a path first reaches a level of forgetting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal


def target_column(target: float | str) -> str:
    """Return the column that says whether a target has been reached, for instance ``reached_0.1``."""
    return f"reached_{target if isinstance(target, str) else format(target, 'g')}"


def first_passage(ua: Sequence[float | None], level: float | None) -> int | Literal["never"] | None:
    """Return the index of the first place with UA at or below ``level``.

    Args:
        ua: UA at the observed places, the starting point first; None where the model has diverged.
        level: The target; None where the oracle it refers to does not exist.

    Returns:
        0 where there was nothing to forget, ``"never"`` where the path ends, or diverges, above the level (censored), and
        None without a level.

    """
    if level is None:
        return None
    for index, value in enumerate(ua):
        # The level may be a ratio of counts computed elsewhere; one part in 10^9 is far below one example.
        if value is not None and value <= level + 1e-9:
            return index
    return "never"
