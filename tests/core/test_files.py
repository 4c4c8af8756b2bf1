"""Files are whole or absent, and a damaged one says so by name."""

import errno
import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from ungrok.core import files
from ungrok.core.errors import DamagedFile, RecipeError, StoreError, UngrokError
from ungrok.core.files import (
    age,
    checksum,
    inside,
    is_cut,
    is_locked,
    load_tensors,
    local_path,
    locked,
    matches,
    read_json,
    read_sealed,
    save_packed,
    save_tensors,
    tensor_shapes,
    write_json,
    write_sealed,
    write_text,
)


def test_tensors_come_back_bit_for_bit(tmp_path):
    tensors = {
        "float": torch.randn(2, 3),
        "double": torch.randn(4, dtype=torch.float64),
        "ints": torch.arange(5, dtype=torch.int16),
        "bytes": torch.get_rng_state(),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 4),
        "nan": torch.tensor([float("nan"), -0.0]),
    }
    save_tensors(tmp_path / "t.safetensors", tensors)
    found = load_tensors(tmp_path / "t.safetensors")
    assert sorted(found) == sorted(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_packed_tensors_come_back_bit_for_bit_and_a_damaged_file_says_so(tmp_path):
    path, tensors = (
        tmp_path / "t.safetensors",
        {"losses": torch.rand(30, 50), "predictions": torch.ones(30, 50).short()},
    )
    save_packed(path, tensors, differences=2)
    assert path.stat().st_size < 0.7 * 30 * 50 * (4 + 2)
    back = load_tensors(path)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], value) for name, value in tensors.items())
    assert tensor_shapes(path) == {name: tuple(value.shape) for name, value in tensors.items()}
    with safe_open(path, "pt") as file:
        metadata, packed = file.metadata(), {name: file.get_tensor(name) for name in tensors}
    save_tensors(path, packed | {"losses": packed["losses"][:-9]}, metadata)
    with pytest.raises(DamagedFile, match=r"t.safetensors: .*losses: does not unpack"):
        load_tensors(path)


def test_tied_and_overlapping_memory(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    base = torch.arange(12.0).view(3, 4)
    views = {"row": base[1], "columns": base[:, ::2], "transposed": base.t()}
    save_tensors(tmp_path / "t.safetensors", {**model.state_dict(), **views})
    found = load_tensors(tmp_path / "t.safetensors")
    assert torch.equal(found["0.weight"], found["1.weight"])
    assert found["0.weight"].data_ptr() != found["1.weight"].data_ptr()
    assert all(torch.equal(found[name], view) for name, view in views.items())
    model.load_state_dict({name: found[name] for name in model.state_dict()})
    assert model[0].weight is model[1].weight


@pytest.mark.parametrize("keep", [0, 7, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, keep):
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"x": torch.randn(100)})
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(DamagedFile, match=r"model\.safetensors: not a valid safetensors file") as error:
        load_tensors(path)
    assert isinstance(error.value, UngrokError)


def test_damaged_json_is_named(tmp_path):
    (tmp_path / "m.json").write_text('{"a": 1')
    with pytest.raises(DamagedFile, match=r"m\.json"):
        read_json(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("write", "old", "new"),
    [
        (save_tensors, {"x": torch.zeros(3)}, {"x": torch.ones(3)}),
        (write_json, {"x": 0}, {"x": 1}),
        (write_text, "old", "new"),
    ],
)
def test_a_write_that_fails_leaves_the_old_content(tmp_path, monkeypatch, write, old, new):
    path = tmp_path / "f"
    write(path, old)
    before = path.read_bytes()

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write(path, new)
    assert path.read_bytes() == before
    monkeypatch.undo()
    write(path, new)
    assert path.read_bytes() != before
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_json_is_exact_and_finite(tmp_path):
    path = tmp_path / "m.json"
    value = {"b": 0.1 + 0.2, "a": [None, True, 1e-300]}
    write_json(path, value)
    assert read_json(path) == value
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == value


def test_what_no_text_can_hold_is_read_as_it_was_written(tmp_path):
    write_json(tmp_path / "m.json", ["\ud800", 1e-300, 2**70])
    assert read_json(tmp_path / "m.json") == ["\ud800", 1e-300, 2**70]


def test_checksum_is_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert checksum(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_that_cannot_be_read_is_no_damaged_one(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    for read in (read_json, read_sealed, lambda path: matches(path, "0")):
        with pytest.raises(StoreError, match=r"circle: cannot be read \(Too many levels of symbolic links\)") as error:
            read(tmp_path / "circle")
        assert not isinstance(error.value, DamagedFile)


@pytest.mark.parametrize("given", ["x" * 300, "a/" * 3000, "~nobody-there/a"])
def test_a_name_that_no_file_can_have_is_refused(given):
    with pytest.raises(RecipeError, match=r"^problem.path: .* can be no file here \(.*\)$") as error:
        local_path(given, "problem.path")
    assert len(str(error.value)) < 250


def test_the_path_that_a_recipe_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert local_path("a/../b", "problem.path") == tmp_path / "b"
    assert local_path("~/a", "problem.path") == Path("/home/someone/a")


def test_threads_may_write_one_file_at_once(tmp_path):
    texts = [str(n) * 50_000 for n in range(8)]
    for _ in range(20):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda text: write_text(tmp_path / "t", text), texts))
        assert (tmp_path / "t").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_every_flipped_bit_of_a_sealed_file_is_noticed(tmp_path):
    path, value = tmp_path / "s.json", {"rows": [{"step": 10, "loss": 0.25}], "none": None}
    write_sealed(path, value)
    assert read_sealed(path) == value
    whole, noticed = path.read_bytes(), 0
    for bit in range(8 * len(whole)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            assert read_sealed(path) == value  # a space became another kind of space
        except DamagedFile:
            noticed += 1
    assert noticed > 7 * len(whole)


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"sha256": "0", "content": NaN}', "[" * 100_000])
def test_what_was_never_sealed_is_damaged(tmp_path, content):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(DamagedFile, match=r"s\.json: "):
        read_sealed(tmp_path / "s.json")


def test_a_sealed_file_belongs_to_its_folder(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_sealed(tmp_path / name / "s.json", {"of": name})
    (tmp_path / "b" / "s.json").write_bytes((tmp_path / "a" / "s.json").read_bytes())
    with pytest.raises(DamagedFile, match=r"b/s\.json: does not match its checksum"):
        read_sealed(tmp_path / "b" / "s.json")
    monkeypatch.chdir(tmp_path / "a")
    assert read_sealed(files.Path("s.json")) == {"of": "a"}
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    (tmp_path / "a").mkdir()
    (tmp_path / "elsewhere" / "s.json").rename(tmp_path / "a" / "s.json")
    assert read_sealed(tmp_path / "a" / "s.json") == {"of": "a"}


@pytest.mark.parametrize("read", [read_json, read_sealed])
def test_a_missing_file_and_a_folder_are_damage(tmp_path, read):
    with pytest.raises(DamagedFile, match=r"s\.json: missing"):
        read(tmp_path / "s.json")
    (tmp_path / "s.json").mkdir()
    with pytest.raises(DamagedFile, match=r"s\.json: is no file"):
        read(tmp_path / "s.json")
    assert not matches(tmp_path / "s.json", "0")
    assert not matches(tmp_path / "nothing", "0")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "not here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=r"no file locks .flock: not here."), locked(tmp_path / "lock"):
        pass


def test_a_lock_is_seen_by_others_for_as_long_as_it_is_held(tmp_path):
    with locked(tmp_path / "lock"):
        assert is_locked(tmp_path / "lock")
    assert not is_locked(tmp_path / "lock")
    with locked(tmp_path / "lock"):
        pass


def test_another_failure_to_lock_is_told_as_it_is(tmp_path):
    with pytest.raises(IsADirectoryError), locked(tmp_path):
        pass


def test_shapes_of_tensors_are_read_without_them(tmp_path):
    save_tensors(tmp_path / "t.safetensors", {"b": torch.zeros(2), "a": torch.ones(1)})
    assert tensor_shapes(tmp_path / "t.safetensors") == {"a": (1,), "b": (2,)}
    with pytest.raises(DamagedFile, match="missing"):
        tensor_shapes(tmp_path / "no.safetensors")
    (tmp_path / "t.safetensors").write_bytes(b"{")
    with pytest.raises(DamagedFile, match="not a valid safetensors file"):
        tensor_shapes(tmp_path / "t.safetensors")


def test_a_list_of_files_names_none_outside(tmp_path):
    assert inside("files/a..b/c.json", tmp_path) == "files/a..b/c.json"
    for name in ("../a", "b/../../a", "/etc/a", 3):
        with pytest.raises(DamagedFile, match="names a file outside"):
            inside(name, tmp_path)


@pytest.mark.parametrize(
    ("write", "durable"),
    [
        (lambda path: write_text(path, "a"), False),
        (lambda path: write_text(path, "a", durable=True), True),
        (lambda path: write_json(path, "a", durable=True), True),
        (lambda path: write_sealed(path, "a", durable=True), True),
        (lambda path: save_tensors(path, {"a": torch.ones(2)}), False),
        (lambda path: save_packed(path, {"a": torch.ones(2)}, durable=True), True),
    ],
)
def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, write, durable):
    seen, sync = [], files.os.fsync

    def synced(descriptor):
        (aside,) = tmp_path.iterdir()
        seen.append((is_cut(aside.name), aside.stat().st_size > 0))
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", synced)
    write(tmp_path / "f")
    assert seen == [(True, True)] * durable
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert not is_cut("f")


def test_the_age_of_a_folder_is_that_of_its_oldest_file(tmp_path):
    assert age(tmp_path) == 0
    (tmp_path / "below").mkdir()
    for name, seconds in (("a", 50), ("below/b", 70)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - seconds,) * 2)
    assert age(tmp_path) == pytest.approx(70, abs=5)
