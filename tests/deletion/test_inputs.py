"""What a user gives to a deletion."""

import hashlib

import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.deletion.inputs import checked, device_name, files_of, weights_of

from .conftest import network


def test_checksums_of_files_are_their_sha256(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "optimizer.pt").write_bytes(b"no part of the model")
    sums = {
        "a.safetensors": hashlib.sha256(b"weights").hexdigest(),
        "config.json": hashlib.sha256(b"{}").hexdigest(),
    }
    assert files_of(tmp_path, "source") == sums
    assert files_of(tmp_path / "a.safetensors", "source") == {"a.safetensors": sums["a.safetensors"]}


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(RecipeError, match=r"source: .*b\.safetensors' cannot be read"):
        files_of(tmp_path / "b.safetensors", "source")
    with pytest.raises(RecipeError, match=r"source: .* holds no safetensors file"):
        files_of(tmp_path, "source")


def test_the_checksum_of_weights_sees_one_bit_and_no_wrapper():
    model = network()
    before = weights_of(model)
    assert weights_of(torch.nn.DataParallel(model)) == before == weights_of(network())
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nextafter(model[0].weight[0, 0], torch.tensor(1.0))
    assert weights_of(model) != before


def test_hashes_are_made_with_the_key_or_with_the_original(world):
    own = checked(world.original, **world.sets).asked()
    assert (own.keyed, own.forget.examples, own.retain.examples, own.test.examples) == (False, 6, 34, 20)
    assert (len(own.forget.each), own.retain.each, own.test.each) == (6, None, None)
    keyed = checked(world.original, **world.sets, key="secret").asked()
    other_model = checked(world.oracle, **world.sets, key="secret").asked()
    assert keyed.keyed
    assert keyed == other_model != own
    assert checked(world.oracle, **world.sets).asked() != own
    assert checked(world.oracle, **world.sets).asked(weights_of(world.original)) == own


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": None}, "test: is None"),
        ({"retain": iter([])}, "retain: an iterator can be used only once"),
        ({"key": ""}, "key: allowed: bytes or a text, not empty"),
        ({"validatoin": []}, r"argument: 'validatoin' is not known.*did you mean 'validation'"),
        ({"oracle": torch.nn.Linear(2, 2)}, "oracle: has other parameters than the model"),
    ],
)
def test_mistakes_are_named_before_any_work(world, change, message):
    with pytest.raises(RecipeError, match=message):
        checked(world.original, **(world.sets | change))


def test_the_device_is_named():
    assert device_name(network()) == ("cpu", None)
