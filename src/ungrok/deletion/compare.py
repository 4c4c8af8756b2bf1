"""Two records side by side: all that they say is compared, but for what is named here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ungrok.core.errors import clipped

TOLERANCE = 0.01
"""By how much a share may differ on another machine: one answer in a hundred."""

ROUNDING = 1e-12
"""Far below what any count of answers gives: 0.51 and 0.5 are not more than 0.01 apart."""

ASIDE = ("date", "place", "seal", "made_with.*", "models.*.path", "models.*.files.*")
"""What running a deletion again cannot give; files are compared with the files that are there."""

OF_ONE_MACHINE = (
    "models.unlearned.weights", "models.fresh.weights", "models.rewound.weights", "models.*.structure", "remains.*.text",
)  # fmt: skip
"""What other versions or another processor change without a fault: bytes of computed weights, what modules print, and rounded numbers in texts."""

SHARES = (
    "accuracies.*", "memorization.*", "distances.*.disagreement_*", "membership.*", "stress.*.before", "stress.*.gap", "stress.*.?A.*",
)  # fmt: skip
"""Measured numbers between 0 and 1."""

SCALED = ("distances.*",)
"""Measured numbers without a bound, where they are no shares."""

Same = Callable[[str, Any, Any], bool]
"""Takes the place of a value, with dots, what the record says and what it is now; says whether they agree."""


@dataclass(frozen=True)
class Difference:
    """Something that is not as a record says.

    Args:
        what: The field of the record, with dots.
        recorded: What the record says.
        now: What it is.

    """

    what: str
    recorded: Any
    now: Any

    def __str__(self) -> str:
        recorded, now = (clipped(str(value), 80) for value in (self.recorded, self.now))
        return f"{self.what}: recorded {recorded}, now {now}"


def differences(recorded: Any, now: Any, same: Same, name: str = "") -> list[Difference]:
    """Return what differs between two values of plain JSON types, the innermost place of each difference by name.

    Args:
        recorded: As it stands in the record.
        now: As it is.
        same: Compares values that are not both dicts, or lists of one length.
        name: Of the place, with dots.

    """
    if isinstance(recorded, dict) and isinstance(now, dict):
        keys = [*recorded, *(key for key in now if key not in recorded)]
        inner = [(key, recorded.get(key), now.get(key)) for key in keys]
    elif isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        inner = [(str(i), old, new) for i, (old, new) in enumerate(zip(recorded, now, strict=True))]
    else:
        return [] if same(name, recorded, now) else [Difference(name, recorded, now)]
    return [one for key, old, new in inner for one in differences(old, new, same, f"{name}.{key}".lstrip("."))]


def equal(place: str, recorded: Any, now: Any) -> bool:
    """Return whether two values are the same, truth not being the number 1, or are :data:`ASIDE`."""
    truths = isinstance(recorded, bool), isinstance(now, bool)
    return _among(place, ASIDE) or (recorded == now and truths[0] == truths[1])


def near(tolerance: float) -> Same:
    """Return what compares records of two machines.

    Args:
        tolerance: By how much shares may differ, and other measured numbers relative to the larger one. Whole numbers, settings,
            words and codes must be the same, and so must all that no list here names; those of :data:`OF_ONE_MACHINE` need not.

    """

    def same(place: str, recorded: Any, now: Any) -> bool:
        if isinstance(recorded, float) and isinstance(now, float):
            apart, scale = abs(recorded - now), max(abs(recorded), abs(now))
            if _among(place, SHARES):
                return apart <= tolerance + ROUNDING
            if _among(place, SCALED):
                return apart <= tolerance * scale + ROUNDING
        return _among(place, OF_ONE_MACHINE) or equal(place, recorded, now)

    return same


def _among(place: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(place, pattern) for pattern in patterns)
