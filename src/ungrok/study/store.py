"""The store: one folder per finished job, named by the hash of what it was made from."""

from __future__ import annotations

import errno
import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ungrok.core.errors import DamagedFile, StoreError
from ungrok.core.files import checksum, read_json, write_json, write_text
from ungrok.core.schema import canonical, digest

VERSIONS = {
    "train": 1, "split": 2, "stage": 1, "matched": 1, "rescaled": 1, "oracle": 1, "unlearn": 3, "evaluate": 2, "unlearned": 1,
    "analyze": 1,
}  # fmt: skip
"""Raise a kind's number when its code changes what it computes: its old results are then no longer found."""

MANIFEST, TIMING = "manifest.json", "timing.json"


@dataclass(frozen=True)
class Job:
    """One unit of work: a pure function of its kind, its spec and its inputs.

    Args:
        kind: A key of ``VERSIONS``.
        spec: Plain JSON types.
        inputs: Keys of the jobs it reads, by role.
        label: For people; not part of the key.

    """

    kind: str
    spec: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)
    label: str = ""

    @cached_property
    def key(self) -> str:
        """Kind and 24 hexadecimal digits."""
        made_from = {"version": VERSIONS[self.kind], "spec": self.spec, "inputs": self.inputs}
        return f"{self.kind}-{digest([self.kind, made_from])}"


@dataclass(frozen=True)
class Finished:
    """A finished job's folder, whose files have been checked against their checksums."""

    path: Path

    @cached_property
    def job(self) -> dict[str, Any]:
        """Kind, spec and inputs."""
        content: dict[str, Any] = read_json(self.path / "job.json")
        return content

    @cached_property
    def result(self) -> dict[str, Any]:
        """What the job returned."""
        content: dict[str, Any] = read_json(self.path / "result.json")
        return content

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds the job took when it ran, in all and by part; never part of a result."""
        path = self.path / TIMING
        return dict(read_json(path)) if path.exists() else {}


class Store:
    """A folder of finished jobs that studies share.

    ``<store>/<key>/`` appears by one atomic rename; what is under way lies in ``<store>/.partial/<key>/``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._checked: dict[str, tuple[int, int]] = {}

    def folder(self, key: str) -> Path:
        """Return where a finished job lies, whether it exists or not."""
        return self.root / key

    def has(self, key: str) -> bool:
        """Return whether the job's folder is there; its files may still be damaged."""
        return (self.folder(key) / MANIFEST).exists()

    def open(self, key: str) -> Finished:
        """Return a finished job after checking every file of it against its checksum.

        A file is read again only if it was changed since it was last checked by this object.

        Raises:
            DamagedFile: If a file is missing or differs; the message names it.

        """
        folder = self.folder(key)
        for name, known in read_json(folder / MANIFEST).items():
            path = folder / name
            try:
                stat = path.stat()
            except FileNotFoundError:
                raise DamagedFile(f"{path}: missing") from None
            seen = (stat.st_size, stat.st_mtime_ns)
            if self._checked.get(str(path)) == seen:
                continue
            if checksum(path) != known:
                raise DamagedFile(f"{path}: does not match its checksum")
            self._checked[str(path)] = seen
        return Finished(folder)

    def discard(self, key: str) -> None:
        """Remove a finished job, so that it is made again; a kill on the way leaves nothing that looks finished."""
        aside = self.root / ".partial" / f"discarded-{key}"
        with explained(self.root):
            shutil.rmtree(aside, ignore_errors=True)
            self.folder(key).rename(aside)
            shutil.rmtree(aside)

    def prepare(self) -> None:
        """Create the folders.

        Raises:
            StoreError: If they cannot be written.

        """
        with explained(self.root):
            for part in (".partial", ".locks"):
                (self.root / part).mkdir(parents=True, exist_ok=True)
            write_text(self.root / ".partial" / ".writable", "")

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold a job's lock; a process that dies lets go of it."""
        with (self.root / ".locks" / key).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def partial(self, job: Job) -> Path:
        """Return the folder in which a job works, with whatever an interrupted run left there."""
        folder = self.root / ".partial" / job.key
        folder.mkdir(exist_ok=True)
        return folder

    def finish(self, job: Job, result: dict[str, Any], seconds: dict[str, float]) -> None:
        """Seal a job's working folder and make it appear under its key."""
        folder = self.partial(job)
        write_json(folder / "job.json", {"kind": job.kind, "spec": job.spec, "inputs": job.inputs})
        write_json(folder / "result.json", result)
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
        sums = {str(p.relative_to(folder)): checksum(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        write_text(folder / TIMING, canonical(seconds) + "\n")
        write_text(folder / MANIFEST, json.dumps(sums, indent=1) + "\n")
        if self.folder(job.key).exists():  # its manifest is lost, or another process was faster
            self.discard(job.key)
        folder.rename(self.folder(job.key))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the file system says into one sentence that tells what to do.

    Raises:
        StoreError: For a full disk, a folder that cannot be written, or any other failure to read or write.

    """
    try:
        yield
    except StoreError:
        raise
    except (OSError, SafetensorError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
            advice = "no space left on the device; what is finished stays readable: free some space and run again"
        else:
            advice = str(error)
        raise StoreError(f"{path}: {advice}") from error
