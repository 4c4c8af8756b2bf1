"""The command line called in this process, and one finished study that tests look at."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from ungrok import cli

TINY = str(Path(__file__).parents[1] / "study" / "tiny.yaml")
FAST = ("seeds=[0]", "noise_seeds=0")


def call(folder: Path, *words: str) -> tuple[int, str, str]:
    """Run a command in a folder; return its exit code and what it wrote to standard output and standard error."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["ungrok", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    return int(stop.value.code or 0), out.getvalue(), err.getvalue()


@pytest.fixture
def ungrok(tmp_path, monkeypatch):
    """Return a function that runs a command in a folder of the test's own, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: call(tmp_path, *words)


@pytest.fixture
def tiny() -> tuple[str, ...]:
    """Return the words that name the recipe of a small study of one seed."""
    return (TINY, *FAST)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Path, str, str]:
    """Return a folder that holds the finished study ``here/tiny``, and what ``ungrok study`` wrote to both streams."""
    root = tmp_path_factory.mktemp("finished")
    code, out, err = call(root, "study", TINY, *FAST, "--workers", "0", "--out", "here/tiny")
    assert code == 0, err
    return root, out, err


@pytest.fixture
def after_study(finished, monkeypatch):
    """Return a function that runs a command beside the finished study, whose folder is the current one."""
    monkeypatch.chdir(finished[0])
    return lambda *words: call(finished[0], *words)


@pytest.fixture
def environment() -> dict[str, str]:
    """Return the environment of a program that tests start."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
