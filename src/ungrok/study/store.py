"""The store: one folder per finished job, named by the hash of what it was made from."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import Any, Generic, TypeVar, cast

from safetensors import SafetensorError
from torch import Tensor

from ungrok.core.errors import DamagedFile, StoreError
from ungrok.core.files import (
    ABSENT,
    checksum,
    inside,
    load_tensors,
    locked,
    matches,
    read_json,
    read_sealed,
    write_json,
    write_sealed,
    write_text,
)
from ungrok.study.job import KINDS, AnyJob, Job, Result, Spec, key_of, kind_of

S = TypeVar("S", bound=Spec)
R = TypeVar("R", bound=Result)

JOB, RESULT, MANIFEST, TIMING = "job.json", "result.json", "manifest.json", "timing.json"
TENSORS = ".safetensors"
Tick = Callable[[float], None]


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


class Store:
    """A folder of finished jobs that studies share.

    A job works in ``<store>/.partial/<key>/``; when it is finished, one atomic rename makes that ``<store>/<key>/``.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))  # Path.resolve raises on links that form a circle
        self._checked: dict[str, tuple[int, int]] = {}

    def folder(self, key: str) -> Path:
        """Return where a finished job lies, whether it exists or not."""
        return self.root / key

    def has(self, key: str) -> bool:
        """Return whether the job's folder is there; its files may still be damaged."""
        return (self.folder(key) / MANIFEST).exists()

    def open(self, key: str, kind: type[Job[S, R]], *, tensors: bool = True) -> Finished[S, R]:
        """Return a finished job after checking its files; see :meth:`check`.

        Args:
            key: The job's key.
            kind: Its kind, or an abstract one that stands for several; it types the spec and the result.
            tensors: As for :meth:`check`.

        Raises:
            DamagedFile: If a file is missing, differs, or belongs to another job; the message names it.
            StoreError: If the job is of another kind.

        """
        actual = self._kind(key, kind)
        self.check(key, tensors=tensors)
        return Finished(self.folder(key), cast("type[S]", actual.spec_type), cast("type[R]", actual.result_type))

    def _kind(self, key: str, kind: type[Job[S, R]]) -> type[AnyJob]:
        """Return the kind of a job, after making sure that it is one of those that are asked for."""
        actual = KINDS.get(kind_of(key))
        if actual is None:
            raise StoreError(f"{self.folder(key)}: is a job of no known kind; known: {', '.join(sorted(KINDS))}")
        if not issubclass(actual, kind):
            raise StoreError(
                f"{self.folder(key)}: is a job of kind {actual.kind}, and not {kind.__name__}, which is read here"
            )
        return actual

    def reading(self) -> Store:
        """Return this store for as long as tables are made of it: one that reads the description and the result of a job once."""
        return _Reading(self.root)

    def check(self, key: str, *, tensors: bool = True) -> None:
        """Check the files of a finished job against their checksums.

        A file is read again only if it was changed since it was last checked by this object.

        Args:
            key: The job's key.
            tensors: Whether files of tensors are checked, too. They are most of a store, and a table or a report reads none.

        Raises:
            DamagedFile: If a file is missing, differs, or belongs to another job; the message names it.

        """
        folder = self.folder(key)
        with explained(folder):
            for name, known in _manifest(folder / MANIFEST).items():
                if known is None or (not tensors and name.endswith(TENSORS)):
                    continue
                path = folder / name
                seen = _stamp(path)
                if seen and self._checked.get(str(path)) == seen:
                    continue
                if not seen or not matches(path, known):
                    raise DamagedFile(f"{path}: {'does not match its checksum' if seen else 'missing, or no file'}")
                if name == JOB and not _belongs(key, read_json(path)):
                    raise DamagedFile(f"{path}: describes another job")
                self._checked[str(path)] = seen

    def left_out(self, key: str) -> set[str]:
        """Return the names of files that a finished job had, and that were left out to save room."""
        return {name for name, known in _manifest(self.folder(key) / MANIFEST).items() if known is None}

    def lacks(self, key: str, unread: Collection[str] = ()) -> bool:
        """Return whether a finished job must be made again for a job that reads all its files but ``unread``, because some were left out."""
        folder, kind = self.folder(key), KINDS.get(kind_of(key))
        names = _manifest(folder / MANIFEST)
        missing = {name for name, known in names.items() if known is None} - {*unread}
        return bool(missing and missing - (kind.spare(names, read_json(folder / JOB)["spec"]) if kind else set()))

    def leave_out(self, key: str, names: Iterable[str]) -> None:
        """Remove files of a finished job, which stays finished; a job that cannot do without them makes it again."""
        folder = self.folder(key)
        with explained(folder), self.lock(key):
            sums = _manifest(folder / MANIFEST)
            write_text(folder / MANIFEST, manifest_text(sums | dict.fromkeys(names, None)))
            for name in self.left_out(key):
                (folder / name).unlink(missing_ok=True)

    def adopt(self, folder: Path) -> None:
        """Let the folder of a finished job, which has been checked and lies on the same disk, appear under its key.

        What lies there already goes.
        """
        with explained(self.root), self.lock(folder.name):
            if self.folder(folder.name).exists():
                self.discard(folder.name)
            folder.rename(self.folder(folder.name))

    def discard(self, key: str) -> None:
        """Remove a finished job, so that it is made again; if this is interrupted, no half of it counts as finished.

        The job's lock must be held.
        """
        aside = self.root / ".partial" / f"discarded-{key}"
        with explained(self.root):
            shutil.rmtree(aside, ignore_errors=True)
            self.folder(key).rename(aside)
            shutil.rmtree(aside)

    def discard_damaged(self, key: str) -> DamagedFile | None:
        """Discard a finished job if one of its files is damaged, and return what is wrong.

        None where nothing is, for instance because another study has made the job again meanwhile.
        """
        with explained(self.root), self.lock(key):
            if not self.has(key):
                return None
            try:
                self.check(key)
            except DamagedFile as error:
                self.discard(key)
                return error
        return None

    def prepare(self) -> None:
        """Create the folders, and make sure that files can be written and locked.

        Raises:
            StoreError: If they cannot be written.

        """
        with explained(self.root):
            for part in (".partial", ".locks"):
                (self.root / part).mkdir(parents=True, exist_ok=True)
            write_text(self.root / ".partial" / ".writable", "")
            with self.lock(".writable"):
                pass

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold a job's lock; a process that dies lets go of it.

        Raises:
            StoreError: On a file system without such locks.

        """
        with locked(self.root / ".locks" / key):
            yield

    def partial(self, job: AnyJob) -> Path:
        """Return the folder in which a job works, with whatever an interrupted run left there."""
        folder = self.root / ".partial" / job.key
        folder.mkdir(exist_ok=True)
        return folder

    def finish(self, job: AnyJob, result: Result, seconds: dict[str, float]) -> None:
        """Seal a job's working folder and make it appear under its key."""
        folder = self.partial(job)
        write_json(folder / JOB, {"kind": job.kind, "spec": job.spec.spec(), "inputs": job.inputs})
        write_json(folder / RESULT, result.spec())
        for leftover in folder.glob(".*.tmp"):
            leftover.unlink()
        for unlisted in (TIMING, MANIFEST):  # of a run that was interrupted here
            (folder / unlisted).unlink(missing_ok=True)
        sums = {str(p.relative_to(folder)): checksum(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        write_sealed(folder / TIMING, seconds)
        write_text(folder / MANIFEST, manifest_text(sums))
        if self.folder(job.key).exists():  # its manifest is lost, or another process was faster
            self.discard(job.key)
        folder.rename(self.folder(job.key))


class _Reading(Store):
    """A store whose finished jobs are kept once they are opened."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._opened: dict[str, Finished[Any, Any]] = {}

    def reading(self) -> Store:
        return self

    def open(self, key: str, kind: type[Job[S, R]], *, tensors: bool = True) -> Finished[S, R]:
        if key not in self._opened:
            self._opened[key] = super().open(key, kind, tensors=tensors)
        else:
            self._kind(key, kind)
            if tensors:
                self.check(key)
        return self._opened[key]


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return size and time of a file, which tell whether it was changed; None where there is no file."""
    try:
        stat = path.stat()
    except ABSENT:
        return None
    return (stat.st_size, stat.st_mtime_ns) if S_ISREG(stat.st_mode) else None


def manifest_text(sums: Mapping[str, str | None]) -> str:
    """Return what the manifest of a job says: checksums by file name, None for a file that was left out."""
    return json.dumps(sums, indent=1) + "\n"


def _manifest(path: Path) -> dict[str, str | None]:
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


def _belongs(key: str, content: Any) -> bool:
    """Return whether a job's description gives its key, under this version of its kind or an earlier one."""
    kind, spec, inputs = (content[name] for name in ("kind", "spec", "inputs"))
    if kind not in KINDS:  # of a plug-in that is not installed, or of an earlier version of the package
        return bool(kind_of(key) == kind)
    return any(key == key_of(kind, version, spec, inputs) for version in range(KINDS[kind].version, 0, -1))


@dataclass(frozen=True)
class Work:
    """What a job has to work with.

    Args:
        store: Where its inputs lie.
        inputs: Their keys, by role.
        folder: Where its files go; may hold those of an interrupted run.
        tick: Is told the share that is done.
        seconds: Takes how long parts of the work took, which must not become part of a result.

    """

    store: Store
    inputs: dict[str, str]
    folder: Path
    tick: Tick = lambda _: None
    seconds: dict[str, float] = field(default_factory=dict)

    def has(self, role: str) -> bool:
        """Return whether there is an input of that name."""
        return role in self.inputs

    def open(self, role: str, kind: type[Job[S, R]]) -> Finished[S, R]:
        """Return the input of a role; see :meth:`Store.open`."""
        return self.store.open(self.inputs[role], kind)


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
