"""Files that are either whole or absent: atomic writes, safetensors only, checksums."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ungrok.core.errors import DamagedFile, RecipeError, StoreError, first_line, shown_file
from ungrok.core.packing import pack, packed_shapes, unpack
from ungrok.core.schema import canonical

ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""What opening a file raises where there is no file of that name."""

WORTH_SYNCING = 5.0
"""Seconds of work from which on a file is worth the hundredth of a second that it takes to wait for the disk."""

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system answers that does not know ``flock``."""


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def local_path(given: str, key: str) -> Path:
    """Return the absolute path of a file or folder that a recipe names, whether it is there or not.

    Args:
        given: What the recipe says; ``~`` stands for the user's folder.
        key: The key that says it.

    Raises:
        RecipeError: If no file can have such a name, or its folder cannot be looked into.

    """
    try:
        path = Path(os.path.abspath(Path(given).expanduser()))
        path.exists()
    except (OSError, RuntimeError) as error:  # the latter where ~ is followed by no user of this machine
        reason = getattr(error, "strerror", None) or first_line(error)
        raise RecipeError(f"{key}: {shown_file(given)} can be no file here ({reason})") from None
    return path


def matches(path: Path, known: str) -> bool:
    """Return whether a file is there and has this checksum.

    Raises:
        StoreError: If it cannot be read.

    """
    try:
        with _reading(path):
            return checksum(path) == known
    except DamagedFile:
        return False


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the file system says of a file that is read into one sentence.

    Raises:
        DamagedFile: If there is no such file.
        StoreError: If it cannot be read.

    """
    try:
        yield
    except ABSENT as error:
        raise DamagedFile(f"{path}: {_absence(error)}") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is created; a process that dies lets go of it.

    Raises:
        StoreError: On a file system without such locks.

    """
    # The library's way out, a file that stands for a lock, would outlive a process that dies on another machine.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise StoreError(
            f"{path.parent}: this file system has no file locks (flock: {error.strerror}); use a folder on another"
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Return whether somebody holds the lock of a file, which is created."""
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


@contextmanager
def _aside(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write to; the file then takes the place of ``path``, if ``durable`` once it is on the disk."""
    # A process number is not unique: threads share it, and two machines on one network file system may have the same.
    aside = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        yield aside
        if durable:
            _sync(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def is_cut(name: str) -> bool:
    """Return whether a file name is that of a file that was being written when its process died."""
    return name.startswith(".") and name.endswith(".tmp")


def _sync(path: Path) -> None:
    """Return once the content of a file is on the disk: a file that is renamed before may be empty after a power failure."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def age(folder: Path) -> float:
    """Return the seconds since the oldest file of a folder, or below it, was written; 0 where there is none."""
    now = time.time()
    return now - min((path.stat().st_mtime for path in folder.rglob("*") if path.is_file()), default=now)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a file so that a reader sees the old content or the new, never a part; if ``durable``, after a power failure, too."""
    with _aside(path, durable=durable) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """Write plain JSON types as :func:`write_text` writes a text, keys in the order given."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n", durable=durable)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DamagedFile: If there is no such file, or its content is not JSON.
        StoreError: If it cannot be read.

    """
    try:
        with _reading(path):
            text = path.read_text(encoding="utf-8")
        try:
            # Twice as fast as the standard library's, which alone takes halves of surrogate pairs.
            return from_json(text)
        except ValueError:
            return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path}: not readable as JSON ({error})") from error


def inside(name: Any, where: Path) -> str:
    """Return a relative file name that leads nowhere outside the folder from which it is named.

    Args:
        name: What a list of files holds.
        where: The list or its folder, for the message.

    Raises:
        DamagedFile: If it leads elsewhere, or is no text.

    """
    if not isinstance(name, str) or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise DamagedFile(f"{where}: names a file outside, {name!r}")
    return name


def write_sealed(path: Path, value: Any, *, durable: bool = False) -> None:
    """Write plain JSON types as :func:`write_json` does, with a checksum over them and over the name of the folder.

    For files that no list of checksums names. A copy in a folder of another name does not pass for that folder's own.
    """
    sealed = {"sha256": _seal(path, value), "content": value}
    # On one line: breaking lines takes five times as long.
    write_text(path, json.dumps(sealed, allow_nan=False), durable=durable)


def read_sealed(path: Path) -> Any:
    """Return what :func:`write_sealed` wrote.

    Raises:
        DamagedFile: If there is no such file, it was changed since, or it was written in a folder of another name.

    """
    sealed = read_json(path)
    try:
        whole = sealed["sha256"] == _seal(path, sealed["content"])
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise DamagedFile(f"{path}: does not match its checksum")
    return sealed["content"]


def _seal(path: Path, value: Any) -> str:
    return hashlib.sha256(f"{path.resolve().parent.name}\n{canonical(value)}".encode()).hexdigest()


def _absence(error: OSError) -> str:
    return "missing" if isinstance(error, FileNotFoundError) else "is no file"


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None, *, durable: bool = False
) -> None:
    """Write tensors as safetensors, as :func:`write_text` writes a text; each is stored whole, even where it shares memory with another."""
    whole = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with _aside(path, durable=durable) as aside:
        save_file(whole, aside, metadata)


def save_packed(path: Path, tensors: dict[str, Tensor], differences: int = 0, *, durable: bool = False) -> None:
    """Write tensors in fewer bytes than :func:`save_tensors`; :func:`load_tensors` returns the same.

    The file is safetensors, too, but another program finds packed bytes in it. See :func:`ungrok.core.packing.pack`.
    """
    save_tensors(path, *pack(tensors, differences), durable=durable)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU, whether its tensors were packed or not.

    Raises:
        DamagedFile: If there is no such file, or it is not valid safetensors.

    """
    with _tensors_of(path):
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return unpack(load_file(path), metadata)


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in a safetensors file by name, without reading any of them; raises as :func:`load_tensors`."""
    with _tensors_of(path), safe_open(path, "pt") as file:
        packed = packed_shapes(file.metadata() or {})
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()} | packed  # noqa: SIM118


@contextmanager
def _tensors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except ABSENT as error:
        raise DamagedFile(f"{path}: {_absence(error)}") from error
    except (SafetensorError, ValueError) as error:
        raise DamagedFile(f"{path}: not a valid safetensors file ({error})") from error
