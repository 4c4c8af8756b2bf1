"""What lies in the folder of a finished job: its files by name, their checksums, and whose they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import Any, Generic, TypeVar

from torch import Tensor

from ungrok.core.errors import DamagedFile, StoreError
from ungrok.core.files import ABSENT, inside, load_tensors, read_json, read_sealed
from ungrok.study.job import KINDS, Result, Spec, key_of, kind_of

JOB, RESULT, MANIFEST, TIMING = "job.json", "result.json", "manifest.json", "timing.json"
TENSORS = ".safetensors"
"""How the names of files of tensors end."""

S = TypeVar("S", bound=Spec)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Finished(Generic[S, R]):
    """A finished job's folder, whose files have been checked against their checksums.

    Args:
        path: The folder.
        spec_type: How its spec is read.
        result_type: How its result is read.

    """

    path: Path
    spec_type: type[S]
    result_type: type[R]

    @cached_property
    def _job(self) -> dict[str, Any]:
        content: dict[str, Any] = read_json(self.path / JOB)
        return content

    @cached_property
    def spec(self) -> S:
        """What the job was made from."""
        return self.spec_type.model_validate(self._job["spec"])

    @property
    def inputs(self) -> dict[str, str]:
        """Keys of the jobs that it read, by role."""
        return dict(self._job["inputs"])

    @cached_property
    def result(self) -> R:
        """What the job returned."""
        return self.result_type.model_validate(read_json(self.path / RESULT))

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds the job took when it ran, in all and by part; never part of a result. Empty where the file cannot be read."""
        for read in (read_sealed, read_json):  # earlier versions wrote the numbers without a checksum
            try:
                content = read(self.path / TIMING)
            except StoreError:
                continue
            if isinstance(content, dict) and all(isinstance(value, int | float) for value in content.values()):
                return content
        return {}

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of a file of the job, on the CPU."""
        return load_tensors(self.path / name)


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
