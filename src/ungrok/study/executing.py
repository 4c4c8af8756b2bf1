"""Runs a job in this process, or several trainings at once, and puts what they return into the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import torch

from ungrok.core.errors import UngrokError, first_line
from ungrok.core.schema import canonical
from ungrok.study.job import AnyJob
from ungrok.study.jobs.train import Train
from ungrok.study.jobs.trained import TrainResult, build_run
from ungrok.study.store import Store, Tick, Work, explained
from ungrok.train.record import record_all
from ungrok.train.together import advance_together, faster_together

_one_at_a_time = threading.Lock()


def execute(store: Store, job: AnyJob, tick: Tick = lambda _: None) -> None:
    """Run one job on one thread, unless it is finished already, and put its folder into the store.

    Raises:
        StoreError: If the store cannot be read or written; DamagedFile if an input is damaged.
        UngrokError: If the device runs out of memory.

    """
    store.take_up(job.key)
    with explained(store.root), _one_at_a_time, store.lock(job.key):
        if store.has(job.key):
            return
        for key in job.inputs.values():
            store.check(key)
        work, clock = Work(store, job.inputs, store.partial(job), tick), _Clock()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with _memory_explained(job):
                result = job.run(work)
        finally:
            torch.set_num_threads(threads)
        store.finish(job, result, {**clock.seconds(), **work.seconds})


class _Clock:
    """Seconds since it was made: ``total`` of wall time, and ``processor`` of this process, which nothing else on the machine stretches."""

    def __init__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def seconds(self, jobs: int = 1) -> dict[str, float]:
        """Return them by name, as parts of as many jobs."""
        now = time.perf_counter(), time.process_time()
        return {name: (now[i] - self._started[i]) / jobs for i, name in enumerate(("total", "processor"))}


@contextmanager
def _memory_explained(job: AnyJob) -> Iterator[None]:
    """Say which keys to lower where a device runs out of memory.

    Raises:
        UngrokError: If that happens.

    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UngrokError(
            f"the device is out of memory; lower {job.advice}, or run fewer --workers ({first_line(error)})"
        ) from error


def alike(jobs: Sequence[AnyJob]) -> list[list[Train]]:
    """Return groups of training jobs on a GPU that differ in nothing but seeds."""
    groups: dict[str, list[Train]] = {}
    for job in jobs:
        if isinstance(job, Train) and job.spec.device == "cuda" and job.spec.problem.family == "classifier":
            without = job.spec.without and job.spec.without.model_copy(update={"seed": 0})
            seeds = {"training_seed": 0, "without": without, "assignment": None, "held": None}
            same = canonical(job.spec.model_copy(update=seeds).spec())
            groups.setdefault(same, []).append(job)
    return [group for group in groups.values() if len(group) > 1]


def train_together(store: Store, jobs: Sequence[Train]) -> None:
    """Finish a group of :func:`alike` by training its models at once; do nothing where that is slower or needs too much memory."""
    too_large = torch.OutOfMemoryError  # each model alone may still fit
    with explained(store.root), _one_at_a_time, ExitStack() as held, suppress(too_large):
        for job in sorted(jobs, key=lambda job: job.key):
            held.enter_context(store.lock(job.key))
        todo = [job for job in jobs if not store.has(job.key)]
        clock, runs = _Clock(), [build_run(job.spec) for job in todo]
        if not runs or not faster_together(runs):
            return
        records = record_all(runs, [store.partial(job) for job in todo], advance_together, resumable=True)
        seconds = clock.seconds(len(todo))
        for job, record in zip(todo, records, strict=True):
            store.finish(job, TrainResult(**record), seconds)


def follow(store: Store, job: Train) -> None:
    """Take part, as one of several processes, in a train job that rank 0 executes."""
    build_run(job.spec).record(store.partial(job))
