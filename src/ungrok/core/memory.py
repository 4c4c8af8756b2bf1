"""Whether something fits into the memory of this machine, asked before it is made."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped]

from ungrok.core.errors import RecipeError


def memory() -> int:
    """Return the bytes of memory of this machine."""
    return int(psutil.virtual_memory().total)


def check_fits(needed: float, key: str, what: str) -> None:
    """Raise RecipeError where something needs more memory than this machine has.

    Args:
        needed: Bytes, roughly.
        key: Key of the recipe that is to be lowered, or several.
        what: What needs them, in the plural.

    """
    if needed > memory():
        raise RecipeError(
            f"{key}: {what} need about {readable(needed)} of memory, and this machine has {readable(memory())}; lower it"
        )


def readable(size: float) -> str:
    """Return a number of bytes in its largest fitting unit, as ``1.5 GB``."""
    units = ("kB", "MB", "GB", "TB", "PB", "EB")
    power = min(max(1, (len(f"{size:.0f}") - 1) // 3), len(units))
    return f"{size / 1000**power:.3g} {units[power - 1]}"
