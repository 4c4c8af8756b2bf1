"""Progress of long work in this process: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LINES = 5
"""Number of plain lines printed in all where there is no terminal."""


@contextmanager
def progress(label: str, total: int, console: Console | None = None) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with how many of ``total`` are done; progress shows on standard error unless ``console`` is given."""
    from rich.console import Console

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _lines(label, total, console)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(label: str, total: int, console: Console) -> Callable[[int], None]:
    """Return a function that prints a line whenever another share of the work is done."""
    printed = 0

    def note(done: int) -> None:
        nonlocal printed
        if LINES * done // max(total, 1) > printed:
            printed = LINES * done // max(total, 1)
            console.print(f"{label}: {done} of {total}", markup=False, highlight=False, soft_wrap=True)

    return note
