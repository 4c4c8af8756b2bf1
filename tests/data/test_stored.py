"""Images on disk: the same batches whether they are mapped, in memory or streamed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ungrok.data import stored
from ungrok.data.augment import Augment
from ungrok.data.base import Split
from ungrok.data.batches import TensorBatches
from ungrok.data.pixels import Scale
from ungrok.data.stored import Stored, ahead

SCALE = Scale((0.4, 0.5, 0.6), (0.2, 0.3, 0.1))
CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path):
    """50 images in a mapped file."""
    path = tmp_path / "pixels.bin"
    np.random.default_rng(0).integers(0, 256, (50, 3, 6, 6), dtype=np.uint8).tofile(path)
    return torch.from_numpy(np.memmap(path, np.uint8, mode="c", shape=(50, 3, 6, 6)))


@pytest.fixture
def splits(images):
    """The same 31 examples: in memory, mapped, streamed."""
    rows = torch.randperm(50, generator=torch.Generator().manual_seed(1))[:31]
    targets = torch.arange(31) % 4
    kept = [images[rows].clone(), Stored(images, rows), Stored(images, rows, stream=True)]
    return [Split(inputs, targets, SCALE) for inputs in kept]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("augment", [None, Augment(pad=2)])
@pytest.mark.parametrize("first", [0, 2])
def test_the_same_batches_bit_for_bit(splits, seed, augment, first):
    found = []
    for split in splits:
        batches = TensorBatches(split, 8, seed, augment=augment, augment_seed=4)
        found.append(list(batches.epoch(5, first)))
    assert [len(inputs) for inputs, _ in found[0]] == [8, 8, 8, 7][first:]
    assert all(inputs.dtype == torch.float32 for inputs, _ in found[0])
    for other in found[1:]:
        assert all(equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize("index", [slice(4, 9), torch.tensor([30, 0, 7]), torch.arange(31) % 2 == 0], ids=str)
def test_parts_and_batches(splits, index):
    expected = splits[0].batch(index)
    for split in splits:
        assert split.shape == (3, 6, 6)
        assert equal(split.batch(index), expected)
        part = split.of(index)
        assert len(part) == len(part.inputs) == len(expected[1])
        assert equal(part.batch(slice(None)), expected)
        (read,) = TensorBatches(part)
        assert equal(read, expected)


def test_a_part_reads_nothing(splits, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "index_select", None)
    part = splits[1].of(torch.arange(5)).of(torch.tensor([2]))
    assert part.inputs.rows.tolist() == [int(splits[1].inputs.rows[2])]


def test_on_the_cpu_the_file_stays_mapped_and_elsewhere_what_fits_is_copied(splits, monkeypatch):
    mapped = splits[1].inputs
    assert isinstance(mapped.to(CPU), Stored)
    assert not mapped.to(CPU).streamed
    monkeypatch.setattr(stored, "memory", lambda device: 2 * 31 * 108)
    assert isinstance(splits[1].to(torch.device("meta")).inputs, torch.Tensor)
    monkeypatch.setattr(stored, "memory", lambda device: 2 * 31 * 108 - 1)
    moved = splits[1].to(torch.device("meta"))
    assert isinstance(moved.inputs, Stored)
    assert moved.inputs.streamed
    assert moved.targets.device.type == "meta"
    assert mapped.to(CPU).streamed
    assert replace(mapped, stream=False).to(torch.device("meta")).device.type == "meta"


def test_copying_to_a_device_in_chunks(splits, monkeypatch):
    """Any device but the CPU takes this way; here the type of the CPU is hidden."""

    class Elsewhere:
        type = "elsewhere"

    monkeypatch.setattr(stored, "memory", lambda device: 1e9)
    monkeypatch.setattr(stored, "CHUNK", 7)
    monkeypatch.setattr(Stored, "__getitem__", lambda self, index: self.file.index_select(0, self.rows[index]))
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, device, **options: empty(*size, **options))
    assert torch.equal(splits[1].inputs.to(Elsewhere()), splits[0].inputs)


def test_two_passes_at_once_do_not_disturb_each_other(splits):
    batches = TensorBatches(splits[2], 4, 0)
    expected = [list(batches.epoch(number)) for number in (0, 1)]
    pairs = list(zip(batches.epoch(0), batches.epoch(1), strict=True))
    assert all(equal(one, two) for one, two in zip((pair[0] for pair in pairs), expected[0], strict=True))
    assert all(equal(one, two) for one, two in zip((pair[1] for pair in pairs), expected[1], strict=True))


def test_streaming_leaves_the_callers_random_state(splits):
    before = torch.get_rng_state()
    next(iter(TensorBatches(splits[2], 4, 0)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("items", "depth"), [(0, 3), (2, 3), (9, 1), (9, 4)])
def test_reading_ahead_keeps_the_order_and_its_distance(items, depth):
    taken = []

    def source():
        for item in range(items):
            taken.append(item)
            yield item

    for place, item in enumerate(ahead(source(), depth)):
        assert item == place
        assert len(taken) <= place + depth + 1
    assert taken == list(range(items))


def test_an_error_in_the_reading_thread_reaches_the_caller():
    def source():
        yield 1
        raise OSError("gone")

    reading = ahead(source(), 2)
    assert next(reading) == 1
    with pytest.raises(OSError, match="gone"):
        list(reading)
