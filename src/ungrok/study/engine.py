"""The engine: runs a plan's jobs on dask.distributed, or in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ungrok.core.errors import DamagedFile, UngrokError
from ungrok.core.schema import digest
from ungrok.study.executing import alike, execute, train_together
from ungrok.study.job import AnyJob
from ungrok.study.jobs import Train
from ungrok.study.store import Store, Tick

Report = Callable[[str], None]


class Advance(Protocol):
    """Takes a job and the share of it that is done."""

    def __call__(self, job: AnyJob, share: float = 1.0) -> None:
        """Move the bar."""


ATTEMPTS = 3


def default_workers() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pending(store: Store, jobs: list[AnyJob], say: Report) -> list[AnyJob]:
    """Return the jobs that are not finished, after checking every file of those that are.

    A damaged folder is named, discarded and made again.
    """

    def check(job: AnyJob) -> str | None:
        try:
            store.check(job.key)
        except DamagedFile as error:
            return str(error)
        return None

    present = [job for job in jobs if store.has(job.key)]
    with ThreadPoolExecutor(default_workers()) as pool:
        for job, damage in zip(present, pool.map(check, present), strict=True):
            if damage:
                say(f"damaged: {damage}; making {job.label} again")
                store.discard(job.key)
    return [job for job in jobs if not store.has(job.key)]


def run(
    jobs: list[AnyJob],
    store: Store,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    say: Report = lambda _: None,
) -> int:
    """Bring every job into the store and return how many had to run.

    Args:
        jobs: Inputs before the jobs that read them.
        store: Where results go.
        workers: Worker processes of one thread each; 0 runs in this process; None takes one per processor.
        scheduler: Address, or scheduler file, of an existing dask cluster that sees the store's folder.
        say: Takes one line of text for the user; by default nothing is said.

    Raises:
        UngrokError: The first error of a job, with the job's name.

    """
    store.prepare()
    todo = pending(store, jobs, say)
    count = len(todo)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _run_all(todo, store, workers, scheduler)
        except DamagedFile:
            # Damage that came up while running: checking again names it and removes it.
            if attempt == ATTEMPTS:
                raise
            todo = pending(store, jobs, say)
        else:
            break
    return count


def _run_all(todo: list[AnyJob], store: Store, workers: int | None, scheduler: str | None) -> None:
    if not todo:
        return
    with _progress(todo) as advance:
        if workers == 0 and scheduler is None:
            for group in alike(todo):
                train_together(store, group)
            for job in todo:
                _execute_here(store, job, lambda share, job=job: advance(job, share))  # type: ignore[misc]
                advance(job)
        else:
            _on_cluster(todo, store, workers or min(default_workers(), len(todo)), scheduler, advance)


def _execute_here(store: Store, job: AnyJob, tick: Tick = lambda _: None) -> None:
    try:
        execute(store, job, tick)
    except UngrokError as error:
        raise type(error)(f"{job.label}: {error}") from error
    except Exception as error:
        error.add_note(f"in the job: {job.label}")
        raise


def remote(root: str, job: AnyJob, *_: Any) -> None:
    """Run one job in a worker; further arguments only carry the order of the graph."""
    _execute_here(Store(Path(root)), job)


def remote_together(root: str, jobs: list[Train]) -> None:
    """Train alike models as one in a worker, where that is faster."""
    train_together(Store(Path(root)), jobs)


def _on_cluster(todo: list[AnyJob], store: Store, workers: int, scheduler: str | None, advance: Advance) -> None:
    from dask.distributed import Client, KilledWorker, as_completed

    # One scheduler may serve several stores: the same job there is another task.
    task = {job.key: f"{job.key}-{digest(str(store.root))}" for job in todo}
    with _client(workers, scheduler) as client:
        assert isinstance(client, Client)
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
                remote, str(store.root), job, *inputs, key=task[job.key], pure=False, priority=-rank
            )
        by_key = {task[job.key]: job for job in todo}
        for future in as_completed(list(futures.values())):
            try:
                future.result()
                advance(by_key[future.key])
            except KilledWorker as error:
                label = by_key[future.key].label
                raise UngrokError(
                    f"{label}: its worker was killed again and again; is there too little memory?"
                ) from error
            except BaseException:
                client.cancel(list(futures.values()), force=True)
                raise


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    import dask
    from dask.distributed import Client, LocalCluster

    if scheduler:
        source = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
        try:
            client = Client(**source, timeout=30)
        except (OSError, ValueError, TypeError, KeyError, AssertionError) as error:
            raise UngrokError(f"--scheduler {scheduler!r}: no dask scheduler answers ({error})") from error
        with client:
            yield client
        return
    environment = "distributed.nanny.pre-spawn-environ"
    settings = {
        "distributed.worker.multiprocessing-method": "spawn",
        "distributed.comm.timeouts.connect": "60s",
        # dask has malloc give memory back at once; for a training loop that is a page fault at every step.
        f"{environment}.MALLOC_TRIM_THRESHOLD_": 2**28,
        f"{environment}.MALLOC_MMAP_THRESHOLD_": 2**28,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _progress(todo: list[AnyJob]) -> Iterator[Advance]:
    """Show a bar with the time left where the output is a terminal, and nothing where it is not."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        total = sum(job.cost for job in todo)
        task = bar.add_task("jobs", total=total)

        done: dict[str, float] = {}

        def advance(job: AnyJob, share: float = 1.0) -> None:
            """Note that ``share`` of a job is done."""
            done[job.key] = share * job.cost
            bar.update(task, completed=sum(done.values()), description=job.kind)

        yield advance
