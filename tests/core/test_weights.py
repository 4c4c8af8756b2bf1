"""What files keep of weights, and what is restored from it."""

import copy

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors, save_tensors
from ungrok.core.weights import GIVEN, kept, remember_given, whole
from ungrok.models.language import Llama, Lora, Pretrained

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks

SIZES = {"width": 16, "layers": 1, "heads": 2, "room": 16}


def through_a_file(model, tmp_path):
    save_tensors(tmp_path / "model.safetensors", kept(model))
    return load_tensors(tmp_path / "model.safetensors")


def llama(seed=0, **changes):
    return Llama(**SIZES, **changes).build((8,), 31, seed)


@pytest.fixture
def saved(tmp_path):
    """Two folders with pretrained weights of the same shapes."""
    for seed in (0, 1):
        llama(seed).save_pretrained(tmp_path / str(seed))
    return tmp_path


def adapted(saved, seed=0, which="0"):
    return Pretrained(path=str(saved / which), lora=Lora(rank=2)).build((8,), 31, seed)


def drift(model):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
    return model


def same(one, other):
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights_stand_once(tmp_path, tied):
    model = drift(llama(tied=tied))
    names = set(model.state_dict())
    held = through_a_file(model, tmp_path)
    assert set(held) == names - ({"lm_head.weight"} if tied else set())
    other = llama(1, tied=tied)
    other.load_state_dict(whole(other, held))
    assert same(model, other)


def test_other_models_are_kept_as_they_are(tmp_path):
    make = lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))  # noqa: E731
    model, other = drift(make()), make()
    model(torch.rand(4, 1, 4, 4))
    held = through_a_file(model, tmp_path)
    assert set(held) == set(model.state_dict())
    other.load_state_dict(whole(other, held))
    assert same(model, other)


def test_of_adapters_on_pretrained_weights_only_they_are_kept(saved, tmp_path):
    pytest.importorskip("peft")
    model = drift(adapted(saved))
    held = through_a_file(model, tmp_path)
    assert {name for name in held if "lora_" not in name} == {GIVEN}
    assert {name for name in held if "lora_" in name} == {n for n, p in model.named_parameters() if p.requires_grad}
    other = adapted(saved, seed=3)
    other.load_state_dict(whole(other, held))
    assert same(model, other)
    assert set(kept(copy.deepcopy(model))) == set(held)


def test_a_file_of_the_whole_model_opens_still(saved, tmp_path):
    pytest.importorskip("peft")
    for model, other in ((drift(adapted(saved)), adapted(saved, seed=3)), (drift(llama()), llama(1))):
        save_tensors(tmp_path / "old.safetensors", dict(model.state_dict()))
        other.load_state_dict(whole(other, load_tensors(tmp_path / "old.safetensors")))
        assert same(model, other)


def test_adapters_do_not_open_on_other_weights(saved, tmp_path):
    pytest.importorskip("peft")
    held = through_a_file(drift(adapted(saved)), tmp_path)
    with pytest.raises(RecipeError, match="model: its frozen weights are not those with which the checkpoint was made"):
        whole(adapted(saved, which="1"), held)
    with pytest.raises(RecipeError, match="its frozen weights are not those"):
        whole(llama(lora=Lora(rank=2)), held)


def test_frozen_weights_that_were_changed_or_come_from_a_seed_are_kept(saved):
    pytest.importorskip("peft")
    model = adapted(saved)
    with torch.no_grad():
        next(p for p in model.parameters() if not p.requires_grad)[0, 0] += 1
    assert GIVEN not in kept(model)
    assert any("lora_" not in name for name in kept(model))
    assert any("lora_" not in name for name in kept(llama(lora=Lora(rank=2))))


def test_the_checksum_is_that_of_names_types_shapes_and_bytes():
    def frozen(weight, name="a"):
        model = nn.Module()
        model.register_parameter(name, nn.Parameter(weight, requires_grad=False))
        remember_given(model)
        return getattr(model, GIVEN)

    base = torch.arange(6.0)
    assert torch.equal(frozen(base), frozen(base.clone()))
    assert frozen(base).shape == (32,)
    for other in (frozen(base, "b"), frozen(base.bfloat16()), frozen(base.reshape(2, 3)), frozen(base.flip(0))):
        assert not torch.equal(frozen(base), other)


def test_weights_that_lack_or_add_names_still_do():
    model = llama()
    held = kept(model)
    del held["model.norm.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*model.norm.weight"):
        model.load_state_dict(whole(model, held))
    with pytest.raises(RuntimeError, match=r"Unexpected key.*extra"):
        model.load_state_dict(whole(model, kept(model) | {"extra": torch.zeros(1)}))
