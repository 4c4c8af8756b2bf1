"""Which studies run on a store: what they read must stay there, and so nothing is pruned meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

from ungrok.core.errors import StoreError
from ungrok.core.files import is_locked
from ungrok.study.store import LOCKS, Store

PRUNING, RUNNING = "pruning", "running-"
"""Names of locks: the one that is held where a study starts or a store is pruned, and how those of running studies begin."""


class InUse(StoreError):
    """A study runs on the store."""


@contextmanager
def running(store: Store) -> Iterator[None]:
    """Let others know that jobs run for as long as the block takes, which starts once nobody prunes; a process that dies lets go."""
    store.prepare()
    name = f"{RUNNING}{uuid4().hex}"
    with ExitStack() as held:
        with store.lock(PRUNING):
            held.enter_context(store.lock(name))
        try:
            yield
        finally:
            (store.root / LOCKS / name).unlink(missing_ok=True)


@contextmanager
def at_rest(store: Store) -> Iterator[None]:
    """Hold a store on which no study runs, so that none starts before the end of the block.

    Raises:
        InUse: If a study runs on it.

    """
    with store.lock(PRUNING):
        for path in (store.root / LOCKS).glob(f"{RUNNING}*"):
            if is_locked(path):
                raise InUse(f"store {store.root}: a study runs on it; prune it when that has ended")
            path.unlink(missing_ok=True)
        yield
