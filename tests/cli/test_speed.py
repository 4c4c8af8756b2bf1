"""The command line answers before torch is imported, and imports little beside torch where it needs that."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import time

import pytest

from ungrok.cli.listing import LISTS

ROUNDS, MOST, PATIENCE = 3, 20, 180.0
"""Rounds of all programs; of those over their limit up to so many in all, as long as so many seconds have not passed."""
LIGHT = ["--help", *(f"list {what}" for what in LISTS)]
PROGRAMS = {
    "torch": ["-c", "import torch"],
    "unlearn": ["-c", "import ungrok; ungrok.unlearn"],
    "show": ["-m", "ungrok.cli", "show", "digits"],
    **{words: ["-m", "ungrok.cli", *words.split()] for words in LIGHT},
}

LIMITS = {"unlearn": 1.15, "show": 1.5, **dict.fromkeys(LIGHT, 0.5)}
"""Multiples of importing torch."""


def seconds(words: list[str], environment: dict[str, str]) -> float:
    """Return the processor time, user and system, of a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def ratios() -> dict[str, float]:
    """Return the time of every program as a multiple of importing torch.

    The programs run in turn. The least of each counts: another process on the machine can only add to it, and so does the first
    round, in which Python compiles them, as it does for a user.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    least, started = dict.fromkeys(PROGRAMS, math.inf), time.monotonic()
    for number in range(MOST):
        over = {name for name, limit in LIMITS.items() if least[name] > limit * least["torch"]}
        if number >= ROUNDS and (not over or time.monotonic() - started > PATIENCE):
            break
        for name in PROGRAMS if number < ROUNDS else {"torch", *over}:
            least[name] = min(least[name], seconds(PROGRAMS[name], environment))
    return {name: spent / least["torch"] for name, spent in least.items()}


@pytest.mark.parametrize("program", LIMITS)
def test_a_program_takes_at_most_so_many_times_importing_torch(program, ratios):
    assert ratios[program] <= LIMITS[program]
