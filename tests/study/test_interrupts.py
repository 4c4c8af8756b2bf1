"""Ctrl-C is held back where it must not break in, and kept from processes that are started there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ungrok.study.interrupts import deferred

BLOCKED = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


@pytest.fixture(autouse=True)
def _interrupts_are_heard():
    """Let Ctrl-C raise as in a terminal: a program that runs in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def hold(steps: list[str], send) -> None:
    """Note steps in a block in which an interrupt is sent first."""
    with deferred():
        send()
        for _ in range(20):  # Python would raise between two of its instructions
            steps.append("on")
            time.sleep(0.02)


def test_an_interrupt_comes_at_the_end_of_the_block():
    steps = []
    with pytest.raises(KeyboardInterrupt):
        hold(steps, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert len(steps) == 20


def test_an_interrupt_that_another_thread_takes_comes_at_the_end_too():
    stop, steps = threading.Event(), []
    thread = threading.Thread(target=stop.wait)  # has no mask, as it is older than the block
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            hold(steps, lambda: signal.pthread_kill(thread.ident, signal.SIGINT))
    finally:
        stop.set()
        thread.join()
    assert len(steps) == 20


def test_without_an_interrupt_nothing_is_raised_and_all_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    with deferred():
        pass
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_error_in_the_block_is_raised_as_it_is():
    with pytest.raises(ValueError, match="mine"), deferred():
        raise ValueError("mine")


def test_processes_that_are_started_inside_never_receive_it():
    words = [sys.executable, "-c", BLOCKED]
    with deferred():
        inside = subprocess.run(words, capture_output=True, text=True).stdout
    outside = subprocess.run(words, capture_output=True, text=True).stdout
    assert (inside, outside) == ("True\n", "False\n")


def test_other_threads_may_use_it():
    errors = []

    def work():
        try:
            with deferred():
                pass
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
