"""From the encoded images of a table to uint8 pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ungrok.core.errors import RecipeError
from ungrok.core.schema import Schema

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

VERSION = 1
"""Increase it when decoding changes the pixels; images that were decoded before are then decoded again."""

CONVERTIBLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Modes of 8 bits a channel, from which Pillow converts without a choice of range."""


class Decoding(Schema):
    """How encoded images become pixels."""

    mode: Literal["L", "RGB"] | None = Field(
        None, description="convert to grey (L) or color (RGB), dropping alpha; null: all must be L, or all RGB"
    )
    size: int | None = Field(
        None, ge=1, description="pixels a side: the shorter side is scaled to it (bilinear), the longer one cropped"
    )
    skip_corrupt: bool = Field(False, description="leave out images that cannot be decoded, instead of stopping")


@dataclass(frozen=True)
class ImageCell:
    """One encoded image and its name for the user."""

    name: str
    content: Any

    def read(self) -> bytes:
        """Return the encoded image; empty where the table has none.

        Raises:
            RecipeError: If its file cannot be read, or it is no image at all.

        """
        content = b"" if self.content is None else self.content
        try:
            if isinstance(content, dict):
                held = content.get("bytes")
                content = Path(content["path"]).read_bytes() if held is None and content.get("path") else held or b""
        except OSError as error:
            raise RecipeError(f"problem: {self.name} cannot be read ({error.strerror})") from error
        if not isinstance(content, bytes):
            raise RecipeError(f"problem.image: {self.name} holds {type(content).__name__}, not an image")
        return content


def cells_of(table: Any, column: str, count: int) -> Iterator[list[ImageCell]]:
    """Yield the encoded images, ``count`` at a time."""
    start = 0
    for part in table.select_columns(column).with_format("arrow").iter(count):
        cells = part.column(column).to_pylist()
        yield [ImageCell(_name(start + i, cell), cell) for i, cell in enumerate(cells)]
        start += len(cells)


def _name(row: int, cell: Any) -> str:
    path = cell.get("path") if isinstance(cell, dict) else None
    return f"image {row} ({path})" if path else f"image {row}"


def left_out(table: Any, column: str, rows: Sequence[int], most: int = 20) -> str:
    """Say how many images were left out as corrupt, and name the first of them."""
    cells = table.select(rows[:most]).select_columns(column).with_format("arrow")[:].column(column).to_pylist()
    names = [_name(row, cell) for row, cell in zip(rows, cells, strict=False)]
    more = [f"{len(rows) - most} more"] if len(rows) > most else []
    return f"{len(rows)} corrupt {'image' if len(rows) == 1 else 'images'} left out: {', '.join(names + more)}"


class Corrupt(Exception):
    """An image that Pillow cannot decode."""


def decode(cell: ImageCell, how: Decoding) -> Pixels:
    """Return the pixels of one image, uint8 of shape (channels, height, width)."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(cell.read())) as opened:
            image = ImageOps.exif_transpose(opened)
            image.load()
    except RecipeError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of many types
        reason = str(error).partition(" <_io")[0]  # without the buffer that Pillow names
        raise Corrupt(f"problem: {cell.name} cannot be decoded ({reason}); skip_corrupt: true leaves it out") from error
    if image.mode not in CONVERTIBLE:
        raise RecipeError(f"problem: {cell.name} has mode {image.mode!r}; allowed: {', '.join(CONVERTIBLE)}")
    if how.mode is None and image.mode not in ("L", "RGB"):
        raise RecipeError(
            f"problem.mode: {cell.name} has mode {image.mode!r}; give RGB or L to convert all images (alpha is dropped)"
        )
    if how.mode is not None:
        image = (image.convert("RGBA") if image.mode == "P" else image).convert(how.mode)
    if how.size is not None:
        image = _resized(image, how.size)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _resized(image: Image.Image, size: int) -> Image.Image:
    """Scale the shorter side to ``size`` and crop the center of the longer one."""
    from PIL import Image

    width, height = image.size
    scale = size / min(width, height)
    width, height = max(size, round(width * scale)), max(size, round(height * scale))
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def decode_all(cells: list[ImageCell], how: Decoding) -> list[Pixels | None]:
    """Return the pixels of each image, None for a corrupt one that is to be left out.

    Raises:
        RecipeError: For an image that is corrupt or of another mode than asked for; the message names it.

    """
    decoded: list[Pixels | None] = []
    for cell in cells:
        try:
            decoded.append(decode(cell, how))
        except Corrupt as error:
            if not how.skip_corrupt:
                raise RecipeError(str(error)) from error
            decoded.append(None)
    return decoded
