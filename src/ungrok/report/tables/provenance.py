"""The table of what a report was made with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ungrok.report.format import MISSING
from ungrok.report.tables.table import Table


def provenance(made: dict[str, Any]) -> Table:
    """Return versions, hardware and times as a table of two columns; sizes of forget sets, one for each arm and seed, are left out."""
    shown = {key: value for key, value in made.items() if key != "sizes"}
    return Table(
        "Provenance", "What this report was made with.", ["what", "value"], [list(row) for row in _flat(shown, "")]
    )


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name} {key}".strip())
    else:
        yield name.replace("_", " "), MISSING if value is None else str(value)
