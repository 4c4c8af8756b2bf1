"""One unlearning path as a table holds it: its rows, where it reached a target, and its row at a dose."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ungrok.evaluate.targets import target_column
from ungrok.study.place import Place

if TYPE_CHECKING:
    from ungrok.study.stress import Attacked

PLACE = ["seed", "arm", "stage", "forget"]
"""Columns that say which model is made to forget what."""

PATH = [*PLACE, "method"]
"""Columns that name one unlearning path."""

Row = dict[str, Any]
"""One observed place of a path, by column."""

Status = Literal["undefined", "nothing", "reached", "censored"]


@dataclass(frozen=True)
class Track:
    """One unlearning path: its rows by increasing dose, the starting point first."""

    table: pd.DataFrame | None
    """Holds its rows; None where they are known."""
    known: list[Row] | None = field(default=None, repr=False, compare=False)
    """The rows as dicts, where a table was turned into them as a whole."""
    part: slice = field(default_factory=lambda: slice(None), repr=False, compare=False)
    """Which rows of the table are its own."""
    attacked: Mapping[str, Attacked] = field(default_factory=dict, repr=False, compare=False)
    """By the name of an attacked place: what the attacks on the model there gave."""
    repaired: Sequence[Row] = field(default=(), repr=False, compare=False)
    """Places that were tried for whether their forgetting stands a repair, by increasing dose: rows of the table ``lasting``."""

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows as a table: made where it is asked for, since most paths are read row by row."""
        return pd.DataFrame(self.known) if self.table is None else self.table.iloc[self.part]

    @cached_property
    def places(self) -> list[Row]:
        """The rows as dicts, since a report asks for single rows ten thousand times."""
        return records(self.rows) if self.known is None else self.known

    @property
    def start(self) -> Row:
        """The row before the first update."""
        return self.places[0]

    @property
    def end(self) -> Row:
        """The last row."""
        return self.places[-1]

    @property
    def one_shot(self) -> bool:
        """Whether the dose is a strength."""
        return all(pd.isna(row["updates"]) for row in self.places)

    @cached_property
    def _reached(self) -> dict[str, tuple[Status, Row | None]]:
        """By target column that was asked for: the status, and the row at which the target is first reached."""
        return {}

    def _at(self, target: float | str) -> tuple[Status, Row | None]:
        column = target_column(target)
        if column not in self._reached:
            first = next((row for row in self.places if row[column] == 1), None)  # not 1: False, nan or None
            undefined = any(row[column] not in (0, 1) for row in self.places)  # false and true count as these
            started, ended = (bool(row[column] == 1) for row in (self.start, self.end))
            status: Status = "undefined" if undefined else "nothing" if started else "reached" if ended else "censored"
            self._reached[column] = status, first
        return self._reached[column]

    def status(self, target: float | str) -> Status:
        """Return ``undefined`` (no oracle), ``nothing`` (at or below from the start), ``reached`` or ``censored``."""
        return self._at(target)[0]

    def at(self, target: float | str) -> Row | None:
        """Return the row at which the target is first reached."""
        return self._at(target)[1]

    def log_dose(self, target: float | str, end: float) -> float:
        """Return the log of the dose at which a target is first reached, or of ``end`` where it is not reached by then.

        NaN where there is no such target, or nothing to forget from the start.
        """
        if self.status(target) in ("undefined", "nothing"):
            return math.nan
        hit = self.at(target)
        return math.log(end if hit is None else min(float(hit["dose"]), end))

    def at_dose(self, dose: float) -> Row:
        """Return the last row whose dose is not beyond ``dose``; a path that diverged earlier ends in its last row."""
        return [row for row in self.places if row["dose"] <= dose * (1 + 1e-9)][-1]

    def lasting(self) -> Row | None:
        """Return the first tried place whose forgetting stood the repair."""
        return next((row for row in self.repaired if row["lasts"]), None)

    def rewound(self) -> Row | None:
        """Return the row that rewinding selects."""
        return next((row for row in self.places if row["rewound"]), None)


def records(rows: pd.DataFrame) -> list[Row]:
    """Return the rows of a table as dicts of Python's own values, as ``to_dict("records")`` does in ten times as long."""
    names, columns = list(map(str, rows)), [_values(rows[name]) for name in rows]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: pd.Series[Any]) -> list[Any]:
    """Return the values of a column as Python's own; None for those of its type that are missing."""
    values = column.tolist()
    numbers = isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"
    return values if numbers else [None if value is pd.NA else value for value in values]


def repaired(lasting: pd.DataFrame) -> dict[tuple[int, Place], list[Row]]:
    """Return the rows of the table ``lasting`` by seed and path, each path's by increasing dose."""
    ordered = lasting[lasting["dose"].notna()].sort_values("dose", kind="stable", ignore_index=True)
    rows: dict[tuple[int, Place], list[Row]] = {}
    for row in records(ordered):
        seed, *place = (row[name] for name in PATH)
        rows.setdefault((int(seed), Place(*map(str, place))), []).append(row)
    return rows


REPLICATE = ("draw", "repeat")
"""Columns, where a recipe asks for more than one: the draw of the forget split within a seed, the repeat of the path within a draw."""


def tracks(rows: pd.DataFrame) -> Iterator[tuple[int, Place, Track]]:
    """Yield the seed, the place and the path of every path in the rows of a study, sorted by seed and place.

    Of several draws and repeats it is the first of each; see :func:`replicates`.
    """
    _, _, first = next(replicates(rows))
    yield from _tracks(first)


def _tracks(rows: pd.DataFrame) -> Iterator[tuple[int, Place, Track]]:
    ordered = rows.sort_values([*PATH, "dose"], kind="stable", ignore_index=True)
    places, start = records(ordered), 0
    for key, path in groupby(places, itemgetter(*PATH)):
        known, (seed, *place) = list(path), key
        end = start + len(known)
        yield int(str(seed)), Place(*map(str, place)), Track(ordered, known, slice(start, end))
        start = end


def replicates(rows: pd.DataFrame) -> Iterator[tuple[int, int, pd.DataFrame]]:
    """Yield each draw of forget splits and each repeat of paths with its rows, which no longer have the columns for them."""
    names = [name for name in REPLICATE if name in rows]
    if not names or rows.empty:
        yield 0, 0, rows.drop(columns=names)
        return
    for key, part in rows.groupby(names, sort=True):
        at = dict(zip(names, map(int, map(str, key)), strict=True))
        yield at.get("draw", 0), at.get("repeat", 0), part.drop(columns=names)
