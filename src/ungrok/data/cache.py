"""Decoded images on disk, under the hash of what they were made from."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from ungrok.core.errors import DamagedFile, RecipeError, StoreError, UngrokError
from ungrok.core.files import checksum, local_path, locked, read_json, write_json, write_text
from ungrok.core.memory import check_fits
from ungrok.core.progress import progress
from ungrok.core.schema import canonical, digest
from ungrok.data.decode import VERSION, Decoding, ImageCell, Pixels, cells_of, decode_all, left_out

CHUNK = 32
"""Images that one thread decodes at a time."""

PIXELS, META = "pixels.bin", "meta.json"


@dataclass(frozen=True)
class Decoded:
    """The pixels of a table of images.

    Args:
        key: Hash of the encoded images and of the way they were decoded.
        pixels: Memory-mapped, uint8 of shape (n, channels, height, width).
        kept: int64 of shape (n,): the rows of the table that they come from.
        mean: Of each channel over all pixels, in [0, 1].
        std: Of each channel over all pixels (population), in [0, 1].

    """

    key: str
    pixels: Tensor
    kept: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]


def cache_root() -> Path:
    """Return ``$UNGROK_CACHE``, else ``ungrok`` under ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    chosen = os.environ.get("UNGROK_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return local_path(chosen, "UNGROK_CACHE") if chosen else local_path(f"{base}/ungrok", "XDG_CACHE_HOME")


def decoded(table: Any, column: str, how: Decoding, label: str) -> Decoded:
    """Return the pixels of a column of images, decoding them if they have not been decoded before.

    Args:
        table: A ``datasets.Dataset`` as it was loaded, rows neither dropped nor reordered.
        column: Its images: encoded bytes, or paths of image files.
        how: The way to decode them.
        label: Names the table to the user.

    Raises:
        RecipeError: If images of that size do not fit into memory; or if one cannot be decoded, or differs from the first in
            size or mode, whose message names it.
        StoreError: If the cache cannot be written, or the disk is too small.

    """
    root = cache_root() / "images"
    if how.size is not None:  # Pillow keeps four bytes a pixel of a color image
        together = 4 * how.size**2 * min(len(table), CHUNK * _threads())
        check_fits(together, "problem.size", "the images that are decoded at a time")
    try:
        root.mkdir(parents=True, exist_ok=True)
        key = _key(table, column, how, root)
        # One process at a time decodes the same images; the others then find them.
        with locked(root / f".{key}.lock"):
            return _open_or_build(table, column, how, root / key, label)
    except UngrokError:
        raise
    except OSError as error:
        raise StoreError(f"{root}: {error.strerror or error}; another folder can be named in UNGROK_CACHE") from error


def _open_or_build(table: Any, column: str, how: Decoding, folder: Path, label: str) -> Decoded:
    if folder.exists():
        try:
            return _open(folder)
        except DamagedFile as error:
            from rich.console import Console

            Console(stderr=True, soft_wrap=True).print(f"damaged: {error}; decoding again", markup=False)
            shutil.rmtree(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _build(table, column, how, partial, label)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _open(folder)


@lru_cache(maxsize=32)
def _open(folder: Path) -> Decoded:
    """Check what is in the cache, once per process, and map it into memory."""
    try:
        meta = read_json(folder / META)
        content = meta["content"]
        whole = digest(content) == meta["digest"] and checksum(folder / PIXELS) == content["sha256"]
    except (FileNotFoundError, KeyError, TypeError) as error:
        raise DamagedFile(f"{folder}: {error!r}") from error
    if not whole:
        raise DamagedFile(f"{folder}: does not match its checksum")
    mapped = np.memmap(folder / PIXELS, np.uint8, mode="c", shape=tuple(content["shape"]))
    rows = np.delete(np.arange(content["rows"]), content["skipped"])
    levels = np.arange(256) / 255
    share = np.array(content["histogram"]) / prod(content["shape"]) * content["shape"][1]
    mean = share @ levels
    std = np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1))
    pixels, kept = torch.from_numpy(mapped), torch.from_numpy(rows)
    return Decoded(folder.name, pixels, kept, tuple(mean.tolist()), tuple(std.tolist()))


def _key(table: Any, column: str, how: Decoding, root: Path) -> str:
    """Return the hash of the encoded images and of ``how``.

    It is remembered for as long as the files behind the table keep their name, size and date, since hashing them takes
    minutes where they hold 100 GB.
    """
    files = [Path(entry["filename"]) for entry in table.cache_files]
    stamps = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    note = root / "known" / digest([VERSION, how.to_dict(), column, len(table), stamps])
    if files and note.exists() and len(key := note.read_text(encoding="utf-8")) == 24:
        return key
    content_hash = sha256(canonical([VERSION, how.to_dict()]).encode())
    for cells in cells_of(table, column, CHUNK):
        for cell in cells:
            content = cell.read()
            content_hash.update(len(content).to_bytes(8, "big"))
            content_hash.update(content)
    key = content_hash.hexdigest()[:24]
    note.parent.mkdir(exist_ok=True)
    write_text(note, key)
    return key


@dataclass
class _Writer:
    """Appends images to a file, and collects what :meth:`content` says of them."""

    file: IO[bytes]
    rows: int
    shape: tuple[int, ...] | None = None
    count: int = 0
    skipped: list[int] = field(default_factory=list)
    histogram: Any = 0
    sha: Any = field(default_factory=sha256)

    def add(self, cells: list[ImageCell], images: list[Pixels | None]) -> None:
        good: list[Pixels] = []
        for cell, image in zip(cells, images, strict=True):
            if image is None:
                self.skipped.append(self.count + len(good) + len(self.skipped))
            else:
                self._check(cell, image.shape)
                good.append(image)
        if good:
            block = np.stack(good)
            self.file.write(block.data)
            self.sha.update(block.data)
            channels = block.transpose(1, 0, 2, 3).reshape(block.shape[1], -1)
            self.histogram = self.histogram + np.stack([np.bincount(channel, minlength=256) for channel in channels])
            self.count += len(good)

    def _check(self, cell: ImageCell, shape: tuple[int, ...]) -> None:
        if self.shape is None:
            self.shape = shape
            self._check_disk()
        if shape != self.shape:
            pair = " and the first ".join(
                f"{width}x{height} in {channels}" for channels, height, width in (shape, self.shape)
            )
            raise RecipeError(
                f"problem.size: {cell.name} is {pair} channels; give size to scale and mode to convert all images"
            )

    def _check_disk(self) -> None:
        assert self.shape is not None
        needed, free = self.rows * prod(self.shape), shutil.disk_usage(self.file.name).free
        if needed > free:
            raise StoreError(
                f"{Path(self.file.name).parent}: decoded images take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are "
                "free; name another folder in UNGROK_CACHE, or lower problem.size"
            )

    def content(self) -> dict[str, Any]:
        assert self.shape is not None
        return {
            "shape": [self.count, *self.shape],
            "rows": self.rows,
            "skipped": self.skipped,
            "histogram": self.histogram.tolist(),
            "sha256": self.sha.hexdigest(),
        }


def _threads() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _build(table: Any, column: str, how: Decoding, folder: Path, label: str) -> None:
    """Decode a whole column into ``folder``, on all processors."""
    threads, done = _threads(), 0
    with (
        (folder / PIXELS).open("wb") as file,
        ThreadPoolExecutor(threads) as pool,
        progress(f"decoding {label}", len(table)) as note,
    ):
        writer = _Writer(file, len(table))
        for group in cells_of(table, column, CHUNK * threads):
            parts = [group[start : start + CHUNK] for start in range(0, len(group), CHUNK)]
            for cells, images in zip(parts, pool.map(lambda part: decode_all(part, how), parts), strict=True):
                writer.add(cells, images)
            done += len(group)
            note(done)
    if writer.count == 0:
        raise RecipeError(f"problem: {label} holds no images that can be decoded")
    if writer.skipped:
        message = f"{label}: {left_out(table, column, writer.skipped)}"
        from rich.console import Console

        Console(stderr=True, soft_wrap=True).print(message, markup=False)
    content = writer.content()
    write_json(folder / META, {"content": content, "digest": digest(content)})
