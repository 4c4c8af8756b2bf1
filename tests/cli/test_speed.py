"""The command line answers before torch is imported, and imports little beside torch where it needs that."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from ungrok.cli.listing import LISTS

RUNS = 5
LIGHT = ["--help", *(f"list {what}" for what in LISTS)]
PROGRAMS = {
    "torch": ["-c", "import torch"],
    "unlearn": ["-c", "import ungrok; ungrok.unlearn"],
    "show": ["-m", "ungrok.cli", "show", "digits"],
    **{words: ["-m", "ungrok.cli", *words.split()] for words in LIGHT},
}


def seconds(words: list[str], environment: dict[str, str]) -> float:
    """Return the processor time, user and system, of a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def ratios() -> dict[str, float]:
    """Return the time of every program as a multiple of importing torch.

    The programs run in turn, after one round that is not counted and in which Python compiles them, as it does for a user. The
    least of each counts: another process on the machine can only add to it.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    rounds = [{name: seconds(words, environment) for name, words in PROGRAMS.items()} for _ in range(RUNS + 1)][1:]
    least = {name: min(times[name] for times in rounds) for name in PROGRAMS}
    return {name: time / least["torch"] for name, time in least.items()}


@pytest.mark.parametrize("words", LIGHT)
def test_help_and_lists_take_half_of_importing_torch(words, ratios):
    assert ratios[words] <= 0.5


def test_show_takes_one_and_a_half_times_importing_torch(ratios):
    assert ratios["show"] <= 1.5


def test_the_library_takes_little_more_than_torch(ratios):
    assert ratios["unlearn"] <= 1.15
