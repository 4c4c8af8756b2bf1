"""What a user gives to a deletion."""

import hashlib

import pytest
import torch

import ungrok
from ungrok.core.errors import RecipeError
from ungrok.deletion.hashes import hash_of_batches
from ungrok.deletion.inputs import checked, checksums, device_name, files_of, weights_of

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


def refusing(refusal):
    """Return a batch of one text with another answer to its question beside it."""
    answers = {name: torch.tensor([[5, 6, 7, last]]) for name, last in (("true", 8), ("refusal", refusal))}
    texts = {
        name: {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids} for name, ids in answers.items()
    }
    return texts["true"] | {"refusal": texts["refusal"]}


def test_the_hash_of_batches_sees_what_that_of_examples_does_not(world):
    """Their order, identities, padding and other answers, all of which can change what comes out."""
    own = checked(world.original, **world.sets).asked()
    (inputs, targets), *others = world.sets["retain"]
    for batches in (
        [*others, (inputs, targets)],
        [(inputs[:5], targets[:5]), (inputs[5:], targets[5:]), *others],
        [(x, y, torch.arange(len(y))) for x, y in world.sets["retain"]],
    ):
        now = checked(world.original, **world.sets | {"retain": batches}).asked()
        assert now.retain.sha256 == own.retain.sha256
        assert now.retain.batches != own.retain.batches
        assert now.forget == own.forget
    assert hash_of_batches([refusing(1)], b"k") == hash_of_batches([refusing(1)], b"k")
    assert hash_of_batches([refusing(1)], b"k") != hash_of_batches([refusing(2)], b"k")
    assert hash_of_batches([refusing(1)], b"k") != hash_of_batches([refusing(1)], b"l")


def test_all_models_that_were_given_stand_there(world):
    given = {
        "oracle": world.oracle,
        "base": network(1),
        "factory": lambda: network(2),
        "validation": world.batches(40, 44),
    }
    inputs = checked(world.original, **world.sets | {"test": world.batches(44, 60)}, **given)
    names = {"original": world.original, "oracle": world.oracle, "base": network(1), "fresh": network(2)}
    assert {name: weights.weights for name, weights in inputs.weights().items()} == {
        name: weights_of(model) for name, model in names.items()
    }
    assert inputs.asked().validation.examples == 4
    assert checked(world.original, **world.sets).asked().validation is None


def test_the_structure_is_what_weights_do_not_say():
    other = network()
    other[1] = torch.nn.Tanh()
    frozen = network()
    frozen[0].bias.requires_grad_(False)
    assert len({checksums(model).weights for model in (network(), other, frozen)}) == 1
    assert len({checksums(model).structure for model in (network(), network(3), other, frozen)}) == 3


def test_examples_that_stand_in_both_sets_are_refused_before_any_work(world, monkeypatch):
    """As copies, in other batches; by a deletion and along a path."""
    monkeypatch.setattr("ungrok.deletion.run.deleted", None)
    sets = world.sets | {"retain": [(world.inputs[4:40].clone(), world.targets[4:40].clone())]}
    said = (
        "^forget and retain share 2 examples by content, that is by equal inputs and targets; each example belongs to"
    )
    with pytest.raises(RecipeError, match=said):
        ungrok.delete(world.original, **sets, method="gradient_ascent", lr=0.1, updates=1)
    with pytest.raises(RecipeError, match=said):
        checked(world.original, **sets).check_contents()
    checked(world.original, **world.sets).check_contents()


def test_tensors_of_an_objective_are_hashed(world):
    def settings(weight):
        objective = ungrok.Classification()
        objective.weight, objective.more = torch.tensor(weight), object()
        return checked(world.original, **world.sets, objective=objective).named_objective().settings

    assert settings([1.0, 2.0, 1.0]) == settings([1.0, 2.0, 1.0]) != settings([1.0, 1.0, 1.0])
    assert set(settings([1.0])) == {"loss", "precision", "weight"}


def test_the_device_is_named():
    assert device_name(network()) == ("cpu", None)
