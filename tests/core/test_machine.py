"""What a result was made with."""

import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from ungrok.core import machine


def test_versions_by_name():
    assert machine.versions(["torch", "no-such-package"]) == {
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "no-such-package": None,
    }


def test_the_commit_is_that_of_the_source_tree_or_unknown():
    here = Path(machine.__file__).parents[1]
    words = ["git", "-C", str(here), "log", "-1", "--format=%H"]
    known = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    shown = machine.commit()
    assert shown is None or re.fullmatch(r"[0-9a-f]{40}\+?", shown)
    assert shown is None or shown.removesuffix("+") == known


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert machine.commit() is None


def test_the_processor_has_a_name():
    assert machine.processor().strip()
