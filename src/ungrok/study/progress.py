"""How far a study is: a bar on a terminal, a line now and then elsewhere, for instance in the log of a batch job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

    from ungrok.study.job import AnyJob

EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


class Advance(Protocol):
    """Takes a job and the share of it that is done: 0 when it starts, 1 at its end."""

    def __call__(self, job: AnyJob, share: float = 1.0) -> None:
        """Note the share."""


class Tally:
    """Keeps count of which jobs are done and which are running.

    Args:
        jobs: All that will run.
        cost: Rough time that a job takes, in any unit.

    """

    def __init__(self, jobs: list[AnyJob], cost: Callable[[AnyJob], float]) -> None:
        self.total = len(jobs)
        self.done = 0
        self.running: dict[str, AnyJob] = {}
        self._costs = {job.key: cost(job) for job in jobs}
        self._shares: dict[str, float] = {}
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, job: AnyJob, share: float = 1.0) -> None:
        """Note that ``share`` of a job is done; a report that arrives after the job's end is ignored."""
        with self._lock:
            if self._shares.get(job.key) == 1:
                return
            if not self._shares:  # workers take a while to start, which tells nothing of the pace
                self._started = time.monotonic()
            self._shares[job.key] = share
            self.running[job.key] = job
            if share == 1:
                self.done += 1
                del self.running[job.key]

    @property
    def share(self) -> float:
        """The part of all work that is done, in [0, 1]."""
        with self._lock:
            done = sum(share * self._costs[key] for key, share in self._shares.items())
        return done / (sum(self._costs.values()) or 1.0)

    def left(self) -> float | None:
        """Return the seconds that the rest will take at the pace so far; None before anything is done."""
        share = self.share
        return (time.monotonic() - self._started) * (1 - share) / share if share else None

    def line(self) -> str:
        """Return where the work stands, as one line."""
        left = self.left()
        rest = "time left unknown yet" if left is None else f"about {clock(left)} left"
        return f"{self.done} of {self.total} jobs done, {len(self.running)} running, {rest}"


def clock(seconds: float) -> str:
    """Return a length of time as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def describe(job: AnyJob, share: float) -> str:
    """Return a job's label, which names its seed, and its step."""
    steps = job.steps
    return f"{job.label or job.kind}: step {round(share * steps)}/{steps}" if steps else job.label or job.kind


@contextmanager
def progress(
    jobs: list[AnyJob],
    cost: Callable[[AnyJob], float],
    say: Callable[[str], None],
    *,
    console: Console | None = None,
    every: float | None = None,
) -> Iterator[Advance]:
    """Show how far jobs are, on standard error.

    Args:
        jobs: All that will run.
        cost: Rough time that a job takes, in any unit.
        say: Takes the lines where there is no terminal.
        console: Of the bar; default: standard error.
        every: Seconds between two lines; default: :data:`EVERY`.

    """
    from rich.console import Console

    console = console or Console(stderr=True)
    tally = Tally(jobs, cost)
    if console.is_terminal:
        with _bar(tally, console) as advance:
            yield advance
    else:
        with _lines(tally, say, EVERY if every is None else every):
            yield tally.advance


@contextmanager
def _lines(tally: Tally, say: Callable[[str], None], every: float) -> Iterator[None]:
    stop = threading.Event()

    def keep_saying() -> None:
        while not stop.wait(every):
            say(tally.line())

    thread = threading.Thread(target=keep_saying, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _bar(tally: Tally, console: Console) -> Iterator[Advance]:
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    label = TextColumn(
        "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
    )
    columns = (label, BarColumn(bar_width=16), TextColumn("{task.fields[jobs]}"), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task("", total=1.0, jobs=f"0/{tally.total}", left="")

        def advance(job: AnyJob, share: float = 1.0) -> None:
            tally.advance(job, share)
            left = tally.left()
            bar.update(
                task,
                completed=tally.share,
                description=describe(job, share),
                jobs=f"{tally.done}/{tally.total}",
                left="" if left is None else f"{clock(left)} left",
            )

        yield advance
