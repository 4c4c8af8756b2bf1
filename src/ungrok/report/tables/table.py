"""A table of the report: rows of text, made from the results and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A cell of several lines; ``tone`` is a verdict, shown as a tint beside the word."""

    lines: tuple[str, ...]
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table, with one sentence on how to read it.

    Args:
        title: What it holds.
        how: How to read it.
        columns: The head.
        rows: As many cells as there are columns.
        keys: Number of columns that name the row.
        groups: A line above the head: texts and the columns they span; empty for none.

    """

    title: str
    how: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    keys: int = 1
    groups: Sequence[tuple[str, int]] = ()

    @property
    def starts(self) -> set[int]:
        """The columns, counted from 0, with which a group begins."""
        return {sum(span for _, span in self.groups[:index]) for index in range(1, len(self.groups))}


Row = list[str | Cell]
"""The cells of one row."""

NOTHING = "none"
"""The method of rows on the model before unlearning."""
