"""Which tensors of a model attacks on weights change."""

import pytest
import torch
from torch import nn

from ungrok.audits.weights import channel, matrices, merge, tensors, values, write
from ungrok.core.modules import duplicate


class Tied(nn.Module):
    """Input and output share one matrix."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm, self.head = nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 5)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.norm(self.embed(x)))


def test_tied_weights_are_there_once_and_frozen_ones_too():
    model = Tied()
    model.embed.weight.requires_grad_(requires_grad=False)
    assert list(tensors(model)) == ["embed.weight", "norm.weight", "norm.bias", "head.bias"]
    assert list(matrices(model)) == ["embed.weight"]


def test_output_channels():
    from transformers.pytorch_utils import Conv1D

    model = nn.ModuleDict(
        {"a": nn.Linear(3, 2), "b": nn.ConvTranspose2d(3, 2, 1), "c": Conv1D(2, 3), "d": nn.Conv2d(3, 2, 1)}
    )
    assert {name: channel(model, f"{name}.weight") for name in model} == {"a": 0, "b": 1, "c": 1, "d": 0}


def test_values_are_copies_and_are_written_back_into_the_same_memory():
    model = Tied()
    kept, place = values(matrices(model)), model.head.weight.data_ptr()
    write(matrices(model), {"embed.weight": torch.zeros(5, 4)})
    assert not model.head.weight.any()
    write(matrices(model), kept)
    assert torch.equal(model.head.weight, kept["embed.weight"])
    assert model.head.weight.data_ptr() == place
    assert model.embed.weight.requires_grad


def test_adapters_are_merged_into_the_weights_that_the_model_computes_with():
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    model = peft.get_peft_model(duplicate(plain), peft.LoraConfig(r=2, target_modules=["0"]))
    layer = model.base_model.model[0]
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_()
    change = model.base_model.model[0].get_delta_weight("default")
    x = torch.randn(5, 4)
    before = model(x)
    merge(model)
    torch.testing.assert_close(layer.base_layer.weight, plain[0].weight + change)
    torch.testing.assert_close(model(x), before)
    assert not [name for name in tensors(model) if "lora_" in name]
    assert len(matrices(model)) == 2


def test_a_model_without_adapters_is_left_alone_whatever_its_weights_are_called():
    model = nn.ModuleDict({"lora_a": nn.Linear(2, 2)})
    before = values(tensors(model))
    merge(model)
    assert list(before) == ["lora_a.weight", "lora_a.bias"]
    assert all(torch.equal(before[name], value) for name, value in tensors(model).items())
