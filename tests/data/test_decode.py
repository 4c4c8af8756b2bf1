"""One image at a time: the pixels that Pillow gives, and errors that name the image."""

import io

import numpy as np
import pytest
from PIL import Image

from ungrok.core.errors import RecipeError
from ungrok.data.decode import ImageCell, Decoding, decode, decode_all

DRAW = np.random.default_rng(0)
COLOR = Image.fromarray(DRAW.integers(0, 256, (12, 20, 3), dtype=np.uint8))


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return ImageCell("image 7", {"bytes": file.getvalue(), "path": None})


@pytest.mark.parametrize("mode", [None, "RGB", "L"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pixels_are_those_of_pillow(mode, kind):
    cell = encoded(COLOR, kind)
    opened = Image.open(io.BytesIO(cell.content["bytes"]))
    expected = np.asarray(opened.convert(mode) if mode else opened)
    expected = expected[None] if expected.ndim == 2 else np.moveaxis(expected, 2, 0)
    found = decode(cell, Decoding(mode=mode))
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_other_modes_become_color_without_alpha(mode):
    image = COLOR.convert("RGB" if mode == "CMYK" else "RGBA").convert(mode)
    found = decode(encoded(image, "TIFF"), Decoding(mode="RGB"))
    assert np.array_equal(found, np.moveaxis(np.asarray(image.convert("RGB")), 2, 0))


def test_a_transparent_palette_keeps_its_colors():
    image = COLOR.convert("P")
    cell = encoded(image, transparency=bytes(range(256)))
    assert np.array_equal(decode(cell, Decoding(mode="RGB")), np.moveaxis(np.asarray(image.convert("RGB")), 2, 0))


@pytest.mark.parametrize(
    ("image", "mode", "message"),
    [
        (COLOR.convert("RGBA"), None, r"problem.mode: image 7 has mode 'RGBA'; give RGB or L"),
        (COLOR.convert("P"), None, r"image 7 has mode 'P'"),
        (Image.fromarray(np.zeros((4, 4), np.uint16)), "L", r"image 7 has mode 'I;16'; allowed: 1, L"),
        (Image.fromarray(np.zeros((4, 4), np.uint16)), None, r"image 7 has mode 'I;16'; allowed: 1, L"),
    ],
)
def test_modes_that_are_not_converted(image, mode, message):
    for skip in (True, False):  # such an image is not corrupt
        with pytest.raises(RecipeError, match=message):
            decode_all([encoded(image)], Decoding(mode=mode, skip_corrupt=skip))


@pytest.mark.parametrize("shape", [(12, 20), (20, 12), (16, 16), (40, 40), (13, 99)])
def test_resizing_scales_the_shorter_side_and_crops_the_center(shape):
    image = Image.fromarray(DRAW.integers(0, 256, (*shape, 3), dtype=np.uint8))
    found = decode(encoded(image), Decoding(size=16))
    assert found.shape == (3, 16, 16)
    height, width = shape
    if height <= width:
        wide = round(width * 16 / height)
        scaled = image.resize((wide, 16), Image.Resampling.BILINEAR)
        start = (wide - 16) // 2
        expected = np.asarray(scaled)[:, start : start + 16]
    else:
        tall = round(height * 16 / width)
        start = (tall - 16) // 2
        expected = np.asarray(image.resize((16, tall), Image.Resampling.BILINEAR))[start : start + 16]
    assert np.array_equal(found, np.moveaxis(expected, 2, 0))
    if shape == (16, 16):
        assert np.array_equal(found, np.moveaxis(np.asarray(image), 2, 0))


def test_the_camera_may_have_been_held_upright():
    tags = Image.Exif()
    tags[0x0112] = 6  # turn by 90 degrees
    found = decode(encoded(COLOR, exif=tags), Decoding())
    assert np.array_equal(found, np.moveaxis(np.rot90(np.asarray(COLOR), -1), 2, 0))


BROKEN = {
    "empty": {"bytes": b"", "path": None},
    "missing": None,
    "text": b"this is no image",
    "truncated": encoded(COLOR).content["bytes"][:200],
    "truncated jpeg": encoded(COLOR, "JPEG").content["bytes"][:400],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_corrupt_image_is_named_or_left_out(content):
    cells = [encoded(COLOR), ImageCell("image 8 (cat.png)", content)]
    with pytest.raises(RecipeError, match=r"problem: image 8 \(cat.png\) cannot be decoded .*skip_corrupt: true"):
        decode_all(cells, Decoding())
    found = decode_all(cells, Decoding(skip_corrupt=True))
    assert found[0].shape == (3, 12, 20)
    assert found[1] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"bytes": None, "path": "/nowhere/cat.png"}, "image 8 cannot be read .No such file"),
        ("cat", "problem.image: image 8 holds str, not an image"),
        (3, "problem.image: image 8 holds int, not an image"),
    ],
)
def test_what_is_not_there_or_no_image_at_all(content, message):
    with pytest.raises(RecipeError, match=message):
        decode_all([ImageCell("image 8", content)], Decoding(skip_corrupt=True))
