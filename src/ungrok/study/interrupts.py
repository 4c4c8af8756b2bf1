"""Ctrl-C, which a terminal sends to every process that it started, workers included."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType


@contextmanager
def deferred() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended; threads and processes that start inside never receive it.

    They inherit the mask of the thread that starts them, and so do the processes that those start later.

    Raises:
        KeyboardInterrupt: At the end, if Ctrl-C was pressed on the way.

    """
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal pressed
        pressed = True

    resource_tracker.ensure_running()  # it would lift the mask of the thread that starts it
    main = threading.current_thread() is threading.main_thread()
    # Another thread may take the signal although this one has blocked it; Python would then raise here.
    handler = signal.signal(signal.SIGINT, note) if main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if main:
            signal.signal(signal.SIGINT, handler)
    if pressed:
        raise KeyboardInterrupt
