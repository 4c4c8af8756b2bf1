"""A table of the report: rows of text, made from the results and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Cell:
    """A cell of several lines.

    Args:
        lines: Its lines; all but the first are small.
        tone: A verdict, shown as a tint beside the word.
        reason: Whether it says why there is no value; neighbors that say the same are shown as one.

    """

    lines: tuple[str, ...]
    tone: str = ""
    reason: bool = False


@dataclass(frozen=True)
class Placed:
    """A cell as it stands on the page.

    Args:
        content: Its text.
        column: The first column that it covers, counted from 0.
        columns: Columns that it covers.
        rows: Rows that it covers.

    """

    content: str | Cell
    column: int
    columns: int = 1
    rows: int = 1


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

    @property
    def grid(self) -> list[list[Placed]]:
        """The rows as they stand on the page: cells with the same reason are one, first side by side, then one below the other."""
        grid: list[list[Placed]] = []
        above: dict[tuple[int, int], tuple[int, int]] = {}  # where a reason that may go on below was placed
        for number, row in enumerate(self.rows):
            grid.append([])
            going: dict[tuple[int, int], tuple[int, int]] = {}
            for one in _side_by_side(row):
                extent = one.column, one.columns
                first = above.get(extent)
                if first and _is_reason(one.content) and grid[first[0]][first[1]].content == one.content:
                    held = grid[first[0]][first[1]]
                    grid[first[0]][first[1]] = replace(held, rows=held.rows + 1)
                else:
                    first = number, len(grid[-1])
                    grid[-1].append(one)
                going[extent] = first
            above = going
        return grid


def _is_reason(content: str | Cell) -> bool:
    return isinstance(content, Cell) and content.reason


def _side_by_side(row: Sequence[str | Cell]) -> list[Placed]:
    placed: list[Placed] = []
    for column, content in enumerate(row):
        if placed and _is_reason(content) and placed[-1].content == content:
            placed[-1] = Placed(content, placed[-1].column, placed[-1].columns + 1)
        else:
            placed.append(Placed(content, column))
    return placed


Row = list[str | Cell]
"""The cells of one row."""

NOTHING = "none"
"""The method of rows on the model before unlearning."""


def reason(text: str, columns: int = 1, tone: str = "") -> Row:
    """Return the cells of columns that have no value, each with the reason why."""
    return [Cell((text,), tone, reason=True)] * columns
