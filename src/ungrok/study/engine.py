"""The engine: runs a plan's jobs on dask.distributed, or in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from ungrok.core.errors import DamagedFile, UngrokError, WorkersLost
from ungrok.core.schema import digest
from ungrok.study.cluster import Report, Watch, connected
from ungrok.study.executing import alike, execute, train_together
from ungrok.study.job import AnyJob
from ungrok.study.jobs import Train
from ungrok.study.progress import Advance, progress
from ungrok.study.running import running
from ungrok.study.store import Store, Tick

More = Callable[[], list[AnyJob]]
"""Returns the jobs of the next round; none where there is none."""

ATTEMPTS = 3
"""How often jobs are run at most, where files turn out to be damaged on the way."""


TOPIC = "ungrok"
"""Name of the dask events by which workers report how far their jobs are."""

SECONDS_BETWEEN = 0.5
"""Least time between two such reports on one job."""


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pending(store: Store, jobs: list[AnyJob], say: Report) -> list[AnyJob]:
    """Return the jobs that are not finished, after checking every file of those that are.

    A finished job with a damaged file is named and discarded, and returned, too; so is one whose files were left out, if another needs them.
    """

    def check(job: AnyJob) -> str | None:
        try:
            store.check(job.key)
        except DamagedFile as error:
            return str(error)
        return None

    for job in jobs:
        if not store.has(job.key):
            store.take_up(job.key)
    present = [job for job in jobs if store.has(job.key)]
    with ThreadPoolExecutor(default_workers()) as pool:
        for job, damage in zip(present, pool.map(check, present), strict=True):
            if damage:
                store.prepare()
                if store.discard_damaged(job.key):
                    say(f"damaged: {damage}; making {job.label} again")
    for job in reversed(jobs):  # a job that is made again may itself read one
        if not store.has(job.key):
            _discard_without_files(store, job, say)
    return [job for job in jobs if not store.has(job.key)]


def _discard_without_files(store: Store, job: AnyJob, say: Report) -> None:
    """Discard the inputs of a job whose files were left out, so that they are made again before it."""
    for role, key in job.inputs.items():
        if store.has(key) and store.lacks(key, job.unread):
            store.prepare()
            if store.discard_lacking(key, job.unread):
                say(f"left out: files of {key}; making it again, as {role} of {job.label}")


def run(
    jobs: list[AnyJob],
    store: Store,
    *,
    more: More | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    dashboard: bool = False,
    say: Report = lambda _: None,
) -> int:
    """Bring every job into the store and return how many had to run.

    Args:
        jobs: In an order in which every job comes after the jobs that it reads.
        store: Where results go.
        more: Is asked for further jobs whenever all are finished, until it gives none; the same workers run them.
        workers: Number of worker processes of one thread each; 0 runs the jobs in this process; None starts one per processor.
        scheduler: Address, or scheduler file, of an existing dask cluster that sees the store's folder.
        dashboard: Whether dask's dashboard is served on the loopback address; its address is said.
        say: Takes one line of text for the user; by default nothing is said.

    Raises:
        UngrokError: The first error of a job, with the job's name; WorkersLost where no worker process stays alive.

    """
    every, ran = list(jobs), set[str]()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _Hands(store, workers, scheduler, say, dashboard=dashboard, growing=more is not None) as hands:
                batch = every
                while batch:
                    todo = pending(store, batch, say)
                    ran |= {job.key for job in todo}
                    hands.run(todo)
                    batch = more() if more else []
                    every = every + batch
        except DamagedFile:
            # A job met a damaged file: checking all files again names it and discards its job.
            if attempt == ATTEMPTS:
                raise
        else:
            break
    return len(ran)


class _Hands(ExitStack):
    """Runs jobs in this process, or on a cluster that is there from the first job on until the block ends.

    Args:
        store: Where results go.
        workers: As for :func:`run`.
        scheduler: As for :func:`run`.
        say: As for :func:`run`.
        dashboard: As for :func:`run`.
        growing: Whether there may be more jobs after the first.

    """

    def __init__(
        self,
        store: Store,
        workers: int | None,
        scheduler: str | None,
        say: Report,
        *,
        dashboard: bool,
        growing: bool,
    ) -> None:
        super().__init__()
        self.store = store
        self.workers = workers
        self.scheduler = scheduler
        self.say = say
        self.dashboard = dashboard
        self.growing = growing
        self._cluster: tuple[Any, Watch] | None = None
        self._running = False

    def run(self, todo: list[AnyJob]) -> None:
        """Run jobs, none of which is finished."""
        if not todo:
            return
        if not self._running:
            self.enter_context(running(self.store))
            self._running = True
        with progress(todo, lambda job: job.cost, self.say) as advance:
            if self.workers == 0 and self.scheduler is None:
                for group in alike(todo):
                    train_together(self.store, group)
                for job in todo:
                    advance(job, 0.0)
                    _execute_here(self.store, job, lambda share, job=job: advance(job, share))  # type: ignore[misc]
                    advance(job)
            else:
                _on_cluster(todo, self.store, *self._connected(len(todo)), advance)

    def _connected(self, count: int) -> tuple[Any, Watch]:
        """Return the client of the cluster, which is started or found for the first jobs, and what watches over it."""
        if self._cluster is None:
            most = default_workers() if self.growing else min(default_workers(), count)
            self._cluster = self.enter_context(
                connected(self.workers or most, self.scheduler, self.say, dashboard=self.dashboard)
            )
        return self._cluster


def _execute_here(store: Store, job: AnyJob, tick: Tick = lambda _: None) -> None:
    try:
        execute(store, job, tick)
    except UngrokError as error:
        raise type(error)(f"{job.label}: {error}") from error
    except Exception as error:
        error.add_note(f"in the job: {job.label}")
        raise


def remote(root: str, job: AnyJob, run: str, *_: Any) -> None:
    """Run one job in a worker, which reports how far it is.

    Further arguments are not used: dask waits for the jobs that they come from.
    """
    _execute_here(Store(Path(root)), job, _teller(run, job))


def _teller(run: str, job: AnyJob) -> Tick:
    """Return a function that reports to the client of a run which share of a job is done, at most twice a second."""
    from dask.distributed import get_worker

    worker, told = get_worker(), 0.0

    def tell(share: float) -> None:
        nonlocal told
        if time.monotonic() - told > SECONDS_BETWEEN:
            told = time.monotonic()
            worker.log_event(TOPIC, {"run": run, "key": job.key, "share": share})

    tell(0.0)
    return tell


def remote_together(root: str, jobs: list[Train]) -> None:
    """Train several models at once in a worker; see :func:`ungrok.study.executing.train_together`."""
    train_together(Store(Path(root)), jobs)


def _on_cluster(todo: list[AnyJob], store: Store, client: Any, watch: Watch, advance: Advance) -> None:
    # One scheduler may serve several stores, and the same job in another store is another task.
    task = {job.key: f"{job.key}-{digest(str(store.root))}" for job in todo}
    run, by_key = uuid4().hex, {job.key: job for job in todo}

    def hear(event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        if message["run"] == run and message["share"] < 1:
            advance(by_key[message["key"]], message["share"])

    client.subscribe_topic(TOPIC, hear)
    futures: dict[str, Any] = {}
    packs: dict[str, Any] = {}
    for group in alike(todo):
        packs |= dict.fromkeys(
            (job.key for job in group), client.submit(remote_together, str(store.root), group, pure=False)
        )
    for rank, job in enumerate(todo):
        inputs = [futures[key] for key in job.inputs.values() if key in futures]
        inputs += [packs[job.key]] if job.key in packs else []
        futures[job.key] = client.submit(
            remote, str(store.root), job, run, *inputs, key=task[job.key], pure=False, priority=-rank
        )
    by_task = {task[job.key]: job for job in todo}
    try:
        for future in _as_they_end(list(futures.values()), watch):
            _raise_error(future, by_task[future.key])
            advance(by_task[future.key])
    except BaseException:
        client.cancel(list(futures.values()), force=True)
        raise


def _as_they_end(futures: list[Any], watch: Watch) -> Iterator[Any]:
    """Yield futures as they end, and look after the workers meanwhile."""
    ended: SimpleQueue[Any] = SimpleQueue()
    for future in futures:
        future.add_done_callback(ended.put)
    left = len(futures)
    while left:
        watch()
        try:
            future = ended.get(timeout=1)
        except Empty:
            continue
        left -= 1
        yield future


def _raise_error(future: Any, job: AnyJob) -> None:
    """Raise the error that a job ended with, if it did."""
    from dask.distributed import KilledWorker

    if future.status not in ("error", "cancelled"):
        return  # where its worker died since, its result would come only from another
    try:
        future.result()
    except KilledWorker as error:
        raise WorkersLost(
            f"{job.label}: its worker process was killed several times, perhaps because there is too little memory "
            f"({str(error).partition('. ')[0]})"
        ) from error
    except CancelledError as error:
        raise WorkersLost(f"{job.label}: the dask scheduler is gone ({error})") from error
