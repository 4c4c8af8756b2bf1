"""The store: one folder per finished job, named by the hash of what it was made from."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError

from ungrok.core.errors import DamagedFile, StoreError
from ungrok.core.files import (
    WORTH_SYNCING,
    age,
    checksum,
    is_cut,
    locked,
    matches,
    read_json,
    write_json,
    write_sealed,
    write_text,
)
from ungrok.study.job import KINDS, AnyJob, Job, Result, kind_of
from ungrok.study.manifest import (
    JOB,
    MANIFEST,
    RESULT,
    TENSORS,
    TIMING,
    Finished,
    R,
    S,
    belongs,
    files_in,
    manifest_text,
    read_manifest,
    stamp,
)

LOCKS = ".locks"
Tick = Callable[[float], None]


class Store:
    """A folder of finished jobs that studies share.

    A job works in ``<store>/.partial/<key>/``; when it is finished, its manifest is written there, and one atomic rename makes that
    ``<store>/<key>/``. A working folder with a manifest is whole: where a process died before the rename, the next one makes it.
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
        self._check(self.folder(key), tensors=tensors)

    def _check(self, folder: Path, *, tensors: bool = True) -> None:
        with explained(folder):
            for name, known in read_manifest(folder / MANIFEST).items():
                if known is None or (not tensors and name.endswith(TENSORS)):
                    continue
                path = folder / name
                seen = stamp(path)
                if seen and self._checked.get(str(path)) == seen:
                    continue
                if not seen or not matches(path, known):
                    raise DamagedFile(f"{path}: {'does not match its checksum' if seen else 'missing, or no file'}")
                if name == JOB and not belongs(folder.name, read_json(path)):
                    raise DamagedFile(f"{path}: describes another job")
                self._checked[str(path)] = seen

    def left_out(self, key: str) -> set[str]:
        """Return the names of files that a finished job had, and that were left out to save room."""
        return {name for name, known in read_manifest(self.folder(key) / MANIFEST).items() if known is None}

    def lacks(self, key: str, unread: Collection[str] = ()) -> bool:
        """Return whether a finished job must be made again for a job that reads all its files but ``unread``, because some were left out."""
        folder, kind = self.folder(key), KINDS.get(kind_of(key))
        names = read_manifest(folder / MANIFEST)
        missing = {name for name, known in names.items() if known is None} - {*unread}
        return bool(missing and missing - (kind.spare(names, read_json(folder / JOB)["spec"]) if kind else set()))

    def leave_out(self, key: str, names: Iterable[str]) -> None:
        """Remove files of a finished job, which stays finished; a job that cannot do without them makes it again."""
        folder = self.folder(key)
        with explained(folder), self.lock(key):
            sums = read_manifest(folder / MANIFEST)
            write_text(folder / MANIFEST, manifest_text(sums | dict.fromkeys(names, None)), durable=True)
            for name in self.left_out(key):
                (folder / name).unlink(missing_ok=True)

    def adopt(self, folder: Path) -> None:
        """Let the folder of a finished job, which has been checked and lies on the same disk, appear under its key.

        What lies there already goes.
        """
        with explained(self.root), self.lock(folder.name):
            working = self._working(folder.name)
            shutil.rmtree(working, ignore_errors=True)
            folder.rename(working)
            self._appear(folder.name)

    def take_up(self, key: str) -> bool:
        """Let a job appear that was sealed by a process which died before it could be seen; return whether there was one."""
        working = self._working(key)
        if not (working / MANIFEST).exists():
            return False
        with explained(self.root), self.lock(key):
            if self.has(key):
                return False
            try:
                self._check(working)
            except DamagedFile:
                (working / MANIFEST).unlink(missing_ok=True)
                return False
            self._appear(key)
        return True

    def _working(self, key: str) -> Path:
        return self.root / ".partial" / key

    def _appear(self, key: str) -> None:
        """Let the working folder of a job, which is whole, take the place of what lies under its key; its lock must be held.

        What lay there is removed last, and comes back if the new folder cannot take its place.
        """
        working, aside, finished = self._working(key), self._aside(key), self.folder(key)
        for name in {*files_in(working)} - {MANIFEST, TIMING, *read_manifest(working / MANIFEST)}:
            (working / name).unlink()
        shutil.rmtree(aside, ignore_errors=True)
        replaced = finished.exists()
        if replaced:
            finished.rename(aside)
        try:
            working.rename(finished)
        except OSError:
            if replaced:
                aside.rename(finished)
            raise
        shutil.rmtree(aside, ignore_errors=True)

    def _aside(self, key: str) -> Path:
        return self.root / ".partial" / f"discarded-{key}"

    def discard(self, key: str) -> None:
        """Remove a finished job, so that it is made again; if this is interrupted, no half of it counts as finished.

        The job's lock must be held.
        """
        aside = self._aside(key)
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

    def discard_lacking(self, key: str, unread: Collection[str] = ()) -> bool:
        """Discard a finished job that :meth:`lacks` files, and return whether it did, and not another study meanwhile."""
        with explained(self.root), self.lock(key):
            lacking = self.has(key) and self.lacks(key, unread)
            if lacking:
                self.discard(key)
        return lacking

    def prepare(self) -> None:
        """Create the folders, and make sure that files can be written and locked.

        Raises:
            StoreError: If they cannot be written.

        """
        with explained(self.root):
            for part in (".partial", LOCKS):
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
        with locked(self.root / LOCKS / key):
            yield

    def partial(self, job: AnyJob) -> Path:
        """Return the folder in which a job works, with whatever an interrupted run left there."""
        folder = self._working(job.key)
        folder.mkdir(exist_ok=True)
        return folder

    def finish(self, job: AnyJob, result: Result, seconds: dict[str, float]) -> None:
        """Seal a job's working folder and make it appear under its key.

        By what the job would be resumed from goes only once it is sealed, so that nothing is lost where that fails.
        """
        folder = self.partial(job)
        for unlisted in (MANIFEST, TIMING):  # of a run that was interrupted here
            (folder / unlisted).unlink(missing_ok=True)
        durable = max(seconds.get("total", 0.0), age(folder)) >= WORTH_SYNCING
        made_from = {"kind": job.kind, "spec": job.spec.spec(), "inputs": job.inputs}
        for name, content in ((JOB, made_from), (RESULT, result.spec())):
            write_json(folder / name, content, durable=durable)
        names = files_in(folder)
        sums = {name: checksum(folder / name) for name in sorted({*names} - job.passing(names)) if not is_cut(name)}
        write_sealed(folder / TIMING, seconds)
        write_text(folder / MANIFEST, manifest_text(sums), durable=durable)
        self._appear(job.key)


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
