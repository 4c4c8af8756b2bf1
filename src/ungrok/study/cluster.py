"""The worker processes of a study: a dask cluster on this machine, or one that exists already."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ungrok.core.errors import DamagedFile, RecipeError, UngrokError, WorkersLost, first_line, shown_file
from ungrok.core.files import read_json
from ungrok.study.interrupts import deferred

Report = Callable[[str], None]
Watch = Callable[[], None]

LOOPBACK = "127.0.0.1"
"""The only address on which this machine's own cluster listens."""

STARTS = 4
"""How often a worker process may fail to start, on average over workers, while no other is alive."""

DEATHS = 9
"""How many worker processes may die on the same job; any of them may have been killed for another reason."""

REMINDER = 30.0
"""Seconds between two lines that tell that a scheduler has no workers."""


def check_dashboard(workers: int | None, scheduler: str | None) -> None:
    """Make sure that there can be a dashboard.

    Raises:
        RecipeError: If the study has no cluster of its own, or a package is missing.

    """
    if scheduler or workers == 0:
        option = "--scheduler" if scheduler else "--workers 0"
        raise RecipeError(f"--dashboard: with {option} there is no cluster of the study's own that could have one")
    if find_spec("bokeh") is None:
        raise RecipeError("--dashboard: needs the package bokeh; install it with: pip install 'ungrok[dashboard]'")


@contextmanager
def connected(
    workers: int, scheduler: str | None, say: Report, *, dashboard: bool = False
) -> Iterator[tuple[Any, Watch]]:
    """Start a cluster on this machine, or connect to one that exists.

    Args:
        workers: Number of worker processes to start, of one thread each.
        scheduler: Address, or scheduler file, of a cluster to connect to instead.
        say: Takes one line of text for the user.
        dashboard: Whether dask's dashboard is served, on the loopback address.

    Yields:
        A dask client, and a function to be called about once a second while jobs run. It starts workers in the place of those
        that are gone, and raises WorkersLost where that cannot help.

    Raises:
        UngrokError: If no scheduler answers.

    """
    if scheduler:
        with _existing(scheduler) as client:
            yield client, _Reminder(client, scheduler, say)
    else:
        with _own(workers, dashboard=dashboard) as (client, watch):
            if dashboard:
                say(f"dashboard: {client.dashboard_link}")
            yield client, watch


def _existing(scheduler: str) -> Any:
    from dask.distributed import Client

    source = {"address": scheduler}
    if Path(scheduler).is_file():
        try:
            content = read_json(Path(scheduler))
        except DamagedFile:
            content = None
        if not isinstance(content, dict) or "address" not in content:
            raise RecipeError(
                f"--scheduler {shown_file(scheduler)}: is no scheduler file: no JSON object with an address"
            )
        source = {"scheduler_file": scheduler}
    try:
        return Client(**source, timeout=30)
    except (OSError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise UngrokError(
            f"--scheduler {shown_file(scheduler)}: no dask scheduler answers ({first_line(error)})"
        ) from error


class _Reminder:
    """Tells now and then that a scheduler of the user's has no workers; some may still come, for instance from a batch queue."""

    def __init__(self, client: Any, scheduler: str, say: Report) -> None:
        self.client = client
        self.scheduler = scheduler
        self.say = say
        self.last = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self.last > REMINDER:
            self.last = time.monotonic()
            if not self.client.scheduler_info()["workers"]:
                self.say(f"--scheduler {self.scheduler}: it has no workers; waiting for some")


def _settings(*, dashboard: bool) -> dict[str, Any]:
    """Return the settings of dask for a cluster on this machine."""
    environment = "distributed.nanny.pre-spawn-environ"
    settings = {
        "distributed.worker.multiprocessing-method": "spawn",
        "distributed.comm.timeouts.connect": "60s",
        # After this time dask drops a worker for good that has not come back. One that still starts must not be dropped.
        "distributed.deploy.lost-worker-timeout": "1000 days",
        "distributed.scheduler.allowed-failures": DEATHS,
        # By default dask makes malloc return freed memory at once, which costs a training loop a page fault at every step.
        f"{environment}.MALLOC_TRIM_THRESHOLD_": 2**28,
        f"{environment}.MALLOC_MMAP_THRESHOLD_": 2**28,
    }
    if not dashboard:  # dask opens its ports for pages anyway; nothing is served there
        settings |= {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    return settings


@contextmanager
def _own(workers: int, *, dashboard: bool) -> Iterator[tuple[Any, Watch]]:
    import dask.distributed  # what it puts into the settings when it is first imported must stay there afterwards

    with dask.config.set(_settings(dashboard=dashboard)), _Messages.kept() as messages:
        with deferred():
            cluster, client = _start(workers, dashboard=dashboard)
        try:
            yield client, _Replacing(cluster, workers, messages)
        except BaseException:
            with deferred():
                cluster.sync(_end_workers, cluster)
                _close(cluster, client)
            raise
        with deferred():
            _close(cluster, client)


def _start(workers: int, *, dashboard: bool) -> tuple[Any, Any]:
    from dask.distributed import Client, LocalCluster

    try:
        # Workers start only after the cluster stands, so that one that dies while it starts does not bring it down.
        cluster = LocalCluster(
            n_workers=0, threads_per_worker=1, host=LOOPBACK, dashboard_address=f"{LOOPBACK}:0", memory_limit=0, silence_logs=50,
            scheduler_kwargs={"dashboard": dashboard},
        )  # fmt: skip
    except (RuntimeError, OSError) as error:
        raise WorkersLost(f"dask cannot start a scheduler on {LOOPBACK}: {first_line(error)}") from error
    # Where several nannies end while they start, dask looks at the first error only; asyncio would print the others.
    loop: Any = cluster.loop
    loop.asyncio_loop.set_exception_handler(lambda *_: None)
    cluster.scale(workers)
    return cluster, Client(cluster)


def _close(cluster: Any, client: Any) -> None:
    client.close()
    cluster.close()


async def _end_workers(cluster: Any) -> None:
    """End workers in the middle of their jobs, which go on from their last checkpoint when they are run again."""
    await asyncio.gather(*(nanny.close(timeout=1) for nanny in cluster.workers.values()), return_exceptions=True)


class _Replacing:
    """Looks after the workers of a cluster.

    Each is started by a nanny in this process, which starts another when it dies. A nanny ends when dask reports an error while its
    worker starts; then a new one takes its place.

    Args:
        cluster: The cluster.
        workers: How many workers it should have.
        messages: The last messages of dask.

    """

    def __init__(self, cluster: Any, workers: int, messages: _Messages) -> None:
        self.cluster = cluster
        self.workers = workers
        self.messages = messages
        self.started: set[Any] = set()
        """Worker processes that started since a worker was last alive, and nannies that ended."""

    def __call__(self) -> None:
        """Look once.

        Raises:
            WorkersLost: If no worker is alive, and too many have failed to start since one was.

        """
        self.cluster.sync(self._look)
        if len(self.started) > STARTS * self.workers:
            raise WorkersLost(
                f"no worker process lives, and those started in their place died, too (dask: {self.messages.text()}); "
                "run again to go on from here, with --workers 0 in this process"
            )

    async def _look(self) -> None:
        from distributed.core import Status

        cluster = self.cluster
        ended = {
            name: nanny for name, nanny in cluster.workers.items() if nanny.status in (Status.closed, Status.failed)
        }
        for name in ended:
            del cluster.workers[name]
        if ended:
            cluster.scale(self.workers)
        if cluster.scheduler.workers:
            self.started.clear()
        else:
            self.started |= {*ended.values(), *(nanny.pid for nanny in cluster.workers.values() if nanny.pid)}


class _Messages(logging.Handler):
    """Keeps dask's last error and what it said on the last death of a process; nothing is printed."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.error = ""
        self.death = ""

    @classmethod
    @contextmanager
    def kept(cls) -> Iterator[_Messages]:
        """Keep messages while the block runs."""
        from distributed.utils import silence_logging_cmgr

        logger, messages = logging.getLogger("distributed"), cls()
        logger.addHandler(messages)
        try:
            # Where a nanny ends while it starts, the event loop would print a traceback.
            with silence_logging_cmgr(logging.CRITICAL, root="tornado.application"):
                yield messages
        finally:
            logger.removeHandler(messages)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message if it may tell why workers are gone."""
        text, cause = record.getMessage(), record.exc_info and record.exc_info[1]
        if text.startswith("Worker process") and record.levelno == logging.INFO:
            self.death = text
        elif record.levelno >= logging.ERROR and cause:
            self.error = f"{text.splitlines()[0]}: {first_line(cause)}"

    def text(self) -> str:
        """Return what is kept, as one text."""
        return "; ".join(filter(None, (self.error, self.death))) or "no reason given"
