"""Packed tensors come back bit for bit, and take less where values repeat."""

import json

import numpy as np
import pytest
import torch

from ungrok.core.packing import PACKED, difference, pack, restore, unpack


def equal(one, other):
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    mine, theirs = (x.resolve_conj().contiguous().reshape(-1).view(torch.uint8) for x in (one, other))
    assert torch.equal(mine, theirs)


@pytest.mark.parametrize("differences", [0, 1, 2])
def test_any_tensor_comes_back_bit_for_bit(differences):
    generator = torch.Generator().manual_seed(0)
    random = torch.randint(0, 256, (6, 5, 8), dtype=torch.uint8, generator=generator)
    tensors = {f"{dtype}": random.view(dtype) for dtype in (torch.float64, torch.float32, torch.int64, torch.int16)}
    tensors |= {
        "bfloat16": random.view(torch.bfloat16),  # NaNs of every kind among them
        "complex": random.view(torch.complex64),
        "wide complex": random[:4].reshape(5, 32).view(torch.complex128),
        "conjugated": random.view(torch.complex64).conj(),
        "bytes": random,
        "flags": random > 100,
        "transposed": random.view(torch.float32).transpose(0, 1),
        "special": torch.tensor([[float("nan"), -0.0], [float("inf"), 0.0], [1e-45, -1.0]]),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 4),
        "none": torch.zeros(4, 0),
        "one": torch.tensor([[2.5, 1.5]]),
    }
    packed, metadata = pack(tensors, differences)
    assert packed.keys() == tensors.keys()
    assert {value.dtype for value in packed.values()} == {torch.uint8}
    assert [*metadata] == [PACKED]  # the order of several in a file is not always the same
    for name, value in unpack(packed, metadata).items():
        equal(value, tensors[name])
        value.zero_()  # can be written to


def test_what_was_never_packed_stays_as_it_is():
    tensors = {"weight": torch.ones(2)}
    assert unpack(tensors, {}) is tensors


def test_differences_of_order_one_and_two_by_hand():
    """Rows of uint8; a difference d becomes 2d, or -2d - 1 where it is negative."""
    rows = np.array([[5], [7], [6], [2]], dtype=np.uint8)
    assert difference(rows, 0).tolist() == rows.tolist()
    assert difference(rows, 1).ravel().tolist() == [10, 4, 1, 7]  # 5, 2, -1, -4
    assert difference(rows, 2).ravel().tolist() == [10, 4, 5, 5]  # 5, 2, -3, -3
    assert rows.ravel().tolist() == [5, 7, 6, 2]
    for order in (0, 1, 2):
        assert restore(difference(rows, order), order).tolist() == rows.tolist()


def test_smooth_paths_take_far_less_with_differences():
    """Losses that decay smoothly: the fewer the bits in which neighbors differ, the fewer bytes."""
    places = torch.exp(-torch.linspace(0, 1, 200))[:, None] * torch.rand(50, generator=torch.Generator().manual_seed(1))
    sizes = [pack({"losses": places}, order)[0]["losses"].numel() for order in (0, 1, 2)]
    assert sizes[0] < places.nbytes
    assert sizes[2] < 0.8 * sizes[1] < 0.64 * sizes[0]


def test_content_that_was_cut_is_no_tensor():
    packed, metadata = pack({"weight": torch.rand(100)})
    with pytest.raises(ValueError, match="weight: does not unpack"):
        unpack({"weight": packed["weight"][:-9]}, metadata)


def test_words_are_written_from_the_least_byte_on_and_read_in_either_order():
    """1 and 258 in two bytes: (1, 0) and (2, 1) from the least byte on, stored byte by byte."""
    from pyarrow import compress, decompress

    packed, metadata = pack({"steps": torch.tensor([1, 258], dtype=torch.int16)})
    assert decompress(packed["steps"].numpy().tobytes(), 4, "zstd", asbytes=True) == bytes([1, 2, 0, 1])
    said = json.loads(metadata[PACKED])
    assert said == {"differences": 0, "tensors": {"steps": ["int16", [2]]}}
    turned = torch.frombuffer(bytearray(compress(bytes([0, 1, 1, 2]), "zstd", asbytes=True)), dtype=torch.uint8)
    back = unpack({"steps": turned}, {PACKED: json.dumps(said | {"order": ">"})})
    assert back["steps"].tolist() == [1, 258]


@pytest.mark.parametrize(
    "forged",
    [
        "{",
        "[]",
        {"tensors": {}},
        {"tensors": {"other": ["float32", [4]]}},
        {"tensors": {"weight": ["float32"]}},
        {"tensors": {"weight": ["nn", [4]]}},
        {"tensors": {"weight": ["float32", [-4]]}},
        {"tensors": {"weight": ["float32", [3]]}},
        {"tensors": {"weight": ["float32", [10**13]]}},
        {"tensors": {"weight": ["float32", [2**63]]}},
        {"differences": 3},
        {"differences": None},
        {"order": "?"},
    ],
)
def test_metadata_that_do_not_fit_are_damage(forged):
    packed, metadata = pack({"weight": torch.rand(4)})
    text = forged if isinstance(forged, str) else json.dumps(json.loads(metadata[PACKED]) | forged)
    with pytest.raises(ValueError, match=r"weight: |ungrok\.packed: does not say what the file holds"):
        unpack(packed, {PACKED: text})


def test_packed_tensors_are_bytes():
    _, metadata = pack({"weight": torch.rand(4)})
    with pytest.raises(ValueError, match=r"weight: is torch\.bfloat16 said to be 'float32'"):
        unpack({"weight": torch.rand(4).bfloat16()}, metadata)
