"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ungrok.study.folder import StudyFolder


def say(text: str) -> None:
    """Print one line for the user on standard error."""
    typer.echo(text, err=True)


def tracked(made: StudyFolder, names: Sequence[str] | None) -> None:
    """Write a study to the trackers that were named."""
    if names:
        from ungrok.report.tracking import track

        track(made, names, say)


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> None:
    """Print rows as comma-separated values under their names; an empty cell is a value that does not exist."""
    names = list(columns or rows[0])
    typer.echo(",".join(names))
    for row in rows:
        typer.echo(",".join("" if row[name] is None else f"{row[name]}" for name in names))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, header: bool = True) -> None:
    """Print a table: aligned on a terminal, separated by tabs elsewhere, there with or without its header."""
    if not sys.stdout.isatty():
        for row in [columns, *rows] if header else rows:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
