"""What a result was made with: versions of packages, the commit of this one, the processor."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the versions of Python and of packages by name; None for one that is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in packages}}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Return the commit of the source tree that this package runs from, with ``+`` if it was changed since; None where unknown."""
    here = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        # An installed copy may lie in the repository of another project.
        if not git("ls-files", "--", str(here / "__init__.py")):
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", str(here)) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
