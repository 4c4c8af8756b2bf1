"""The cache of decoded images: a hit equals a fresh decode, damage is noticed, one process decodes at a time."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from ungrok.core.errors import RecipeError, StoreError
from ungrok.data import cache
from ungrok.data.cache import META, PIXELS, cache_root, decoded
from ungrok.data.decode import Decoding


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def root(monkeypatch, tmp_path):
    """An empty cache."""
    monkeypatch.setenv("UNGROK_CACHE", str(tmp_path / "cache"))
    cache._open.cache_clear()
    yield tmp_path / "cache" / "images"
    cache._open.cache_clear()


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (75, 6, 5, 3), dtype=np.uint8)


@pytest.fixture
def make(tmp_path):
    """Turn encoded images into a table, as ``datasets`` loads it from a file."""
    from datasets import Dataset, load_dataset

    def table(cells):
        path = tmp_path / f"{len(list(tmp_path.glob('*.parquet')))}.parquet"
        Dataset.from_dict({"image": [{"bytes": cell, "path": None} for cell in cells]}).to_parquet(path)
        return load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "tables"))

    return table


@pytest.fixture
def counted(monkeypatch):
    """Count the times that images are decoded."""
    calls = []
    build = cache._build
    monkeypatch.setattr(cache, "_build", lambda *arguments: (calls.append(1), build(*arguments)))
    return calls


PLAIN = Decoding()


def read(table, how=PLAIN):
    return decoded(table, "image", how, "these images")


def same(one, other):
    return one.key == other.key and torch.equal(one.pixels, other.pixels) and one.mean == other.mean


def test_a_hit_equals_a_fresh_decode_and_the_pixels(make, pixels, counted):
    table = make([png(image) for image in pixels])
    fresh = read(table)
    cache._open.cache_clear()
    hit = read(table)
    assert counted == [1]
    assert same(fresh, hit)
    assert torch.equal(hit.pixels, torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
    assert torch.equal(hit.kept, torch.arange(75))


def test_mean_and_deviation_are_those_of_all_pixels(make, pixels):
    found = read(make([png(image) for image in pixels]))
    assert found.mean == pytest.approx((pixels / 255).mean(axis=(0, 1, 2)), rel=1e-12)
    assert found.std == pytest.approx((pixels / 255).std(axis=(0, 1, 2)), rel=1e-12)


def test_the_key_is_the_content_wherever_it_lies(make, pixels, counted):
    cells = [png(image) for image in pixels]
    keys = [read(make(cells)).key, read(make(cells)).key]
    assert keys[0] == keys[1]
    assert counted == [1]
    others = [read(make([*cells[:-1], cells[0]])).key, read(make(cells[:-1])).key, read(make(cells[::-1])).key]
    sizes = [read(make(cells), how).key for how in (Decoding(size=4), Decoding(mode="L"), Decoding(skip_corrupt=True))]
    assert len({keys[0], *others, *sizes}) == 7
    assert len(counted) == 7


def test_images_run_together_have_another_key(make, pixels):
    """Lengths are part of the hash: the same bytes cut elsewhere are other images."""
    one, other = png(pixels[0]), png(pixels[1])
    keys = []
    for cells in ([one + other, one], [one, other + one]):
        found = read(make(cells), Decoding(skip_corrupt=True))
        keys.append(found.key)
    assert keys[0] != keys[1]


def flip(path):
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def edit(path):
    meta = json.loads(path.read_text())
    meta["content"]["skipped"] = [3]
    path.write_text(json.dumps(meta))


DAMAGE = {
    "flipped": (PIXELS, flip),
    "truncated": (PIXELS, lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "no pixels": (PIXELS, lambda path: path.unlink()),
    "no meta": (META, lambda path: path.unlink()),
    "half a meta": (META, lambda path: path.write_text(path.read_text()[:50])),
    "no dictionary": (META, lambda path: path.write_text("[]")),
    "edited meta": (META, edit),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_noticed_named_and_mended(root, make, pixels, counted, capsys, name, damage):
    table = make([png(image) for image in pixels])
    fresh = read(table)
    before = fresh.pixels.clone()
    damage(root / fresh.key / name)
    cache._open.cache_clear()
    again = read(table)
    assert counted == [1, 1]
    assert torch.equal(again.pixels, before)
    assert again.mean == fresh.mean
    assert f"damaged: {root / fresh.key}" in capsys.readouterr().err
    cache._open.cache_clear()
    assert same(read(table), again)
    assert counted == [1, 1]


def test_a_damaged_note_of_the_key_is_no_harm(root, make, pixels):
    table = make([png(image) for image in pixels])
    key = read(table).key
    for note in (root / "known").iterdir():
        note.write_text("x")
    assert read(table).key == key


def test_one_of_many_decodes(make, pixels, counted):
    table = make([png(image) for image in pixels])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read(table), range(4)))
    assert counted == [1]
    assert all(same(found[0], other) for other in found)


def test_an_interrupted_decode_leaves_nothing_and_is_done_again(root, make, pixels, monkeypatch):
    table = make([png(image) for image in pixels])
    with monkeypatch.context() as patch:
        patch.setattr(cache._Writer, "content", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            read(table)
    assert [path for path in root.iterdir() if path.is_dir() and path.name != "known"] == []
    (key,) = [path.read_text() for path in (root / "known").iterdir()]
    (root / f".{key}.partial").mkdir()  # as a kill would leave it
    assert len(read(table).pixels) == 75


def test_corrupt_images_stop_the_decode_or_are_left_out(make, pixels, capsys):
    cells = [png(image) for image in pixels]
    cells[3], cells[70] = b"", cells[70][:40]
    table = make(cells)
    with pytest.raises(RecipeError, match="image 3 cannot be decoded"):
        read(table)
    found = read(table, Decoding(skip_corrupt=True))
    kept = [row for row in range(75) if row not in (3, 70)]
    assert found.kept.tolist() == kept
    assert torch.equal(found.pixels, torch.from_numpy(pixels[kept].transpose(0, 3, 1, 2).copy()))
    assert "these images: 2 corrupt images left out: image 3, image 70" in capsys.readouterr().err


def test_images_of_several_shapes(make, pixels):
    cells = [png(image) for image in pixels[:5]]
    with pytest.raises(RecipeError, match=r"problem.size: image 5 is 4x6 in 3 and the first 5x6 in 3 channels"):
        read(make([*cells, png(pixels[5][:, :4])]))
    with pytest.raises(RecipeError, match=r"image 5 is 5x6 in 1 and the first .* mode to convert"):
        read(make([*cells, png(pixels[5][..., 0])]))
    assert read(make([*cells, png(pixels[5][:, :4])]), Decoding(size=4)).pixels.shape == (6, 3, 4, 4)


@pytest.mark.parametrize("cells", [[], [b""]])
def test_no_images(make, cells):
    from datasets import Dataset, Features, Image

    table = make(cells) if cells else Dataset.from_dict({"image": []}, features=Features({"image": Image()}))
    with pytest.raises(RecipeError, match="these images holds no images that can be decoded"):
        read(table, Decoding(skip_corrupt=True))


def test_too_small_a_disk_is_noticed_before_decoding(make, pixels, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 75 * 90 - 1}))
    with pytest.raises(StoreError, match=r"decoded images take 0.0 GB, .*UNGROK_CACHE, or lower problem.size"):
        read(make([png(image) for image in pixels]))


@pytest.mark.parametrize("size", [10**6, 2**63 - 1])
def test_a_size_that_memory_cannot_hold_is_refused_before_decoding(make, pixels, counted, size):
    with pytest.raises(RecipeError, match=r"^problem.size: the images that are decoded at a time need about"):
        decoded(make([png(image) for image in pixels]), "image", Decoding(size=size), "pets")
    assert counted == []


def test_a_folder_that_cannot_be_written(monkeypatch, make, pixels, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNGROK_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"file/images: Not a directory; .*UNGROK_CACHE"):
        read(make([png(pixels[0])]))


@pytest.mark.parametrize(("name", "value"), [("UNGROK_CACHE", "~nobody-there/x"), ("XDG_CACHE_HOME", "~nobody-there")])
def test_a_cache_that_no_folder_can_be(monkeypatch, name, value):
    monkeypatch.delenv("UNGROK_CACHE", raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(RecipeError, match=f"^{name}: '~nobody-there.* can be no file here"):
        cache_root()


def test_where_the_cache_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("UNGROK_CACHE", "here")
    assert cache_root() == tmp_path.cwd() / "here"
    monkeypatch.delenv("UNGROK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "ungrok"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "ungrok"
