"""What lies in the folder of a finished job: its files by name, their checksums, and whose they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Any

from ungrok.core.errors import DamagedFile
from ungrok.core.files import ABSENT, inside, read_json
from ungrok.study.job import KINDS, key_of, kind_of

JOB, RESULT, MANIFEST, TIMING = "job.json", "result.json", "manifest.json", "timing.json"
TENSORS = ".safetensors"
"""How the names of files of tensors end."""


def manifest_text(sums: Mapping[str, str | None]) -> str:
    """Return what the manifest of a job says: checksums by file name, None for a file that was left out."""
    return json.dumps(sums, indent=1) + "\n"


def read_manifest(path: Path) -> dict[str, str | None]:
    """Return the checksums of a job's files, by name, as :func:`manifest_text` takes them.

    Raises:
        DamagedFile: If they cannot be read.

    """
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in (JOB, RESULT)):
        raise DamagedFile(f"{path}: is no list of a job's files")
    for name in content:
        inside(name, path)
    return content


def files_in(folder: Path) -> list[str]:
    """Return the names of all files in a folder and below it."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def belongs(key: str, content: Any) -> bool:
    """Return whether a job's description gives its key, under this version of its kind or an earlier one."""
    kind, spec, inputs = (content[name] for name in ("kind", "spec", "inputs"))
    if kind not in KINDS:  # of a plug-in that is not installed, or of an earlier version of the package
        return bool(kind_of(key) == kind)
    return any(key == key_of(kind, version, spec, inputs) for version in range(KINDS[kind].version, 0, -1))


def stamp(path: Path) -> tuple[int, int] | None:
    """Return size and time of a file, which tell whether it was changed; None where there is no file."""
    try:
        stat = path.stat()
    except ABSENT:
        return None
    return (stat.st_size, stat.st_mtime_ns) if S_ISREG(stat.st_mode) else None
