"""Every way to write an activation is seen, under the same name, once."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ungrok.core.activations import Watch, features
from ungrok.core.objective import Classification


class NewGELUActivation(nn.Module):
    """Written out as a formula, as language models have it."""

    def forward(self, x):
        return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


class GELUTanh(nn.Module):
    """Some versions call the function, others write it out."""

    def forward(self, x):
        return F.gelu(x, approximate="tanh")


class Block(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.linear, self.act = nn.Linear(4, 4), act

    def forward(self, x):
        return x + self.act(self.linear(x))


WAYS = {
    "module": (nn.ReLU(), "act"),
    "in place": (nn.ReLU(inplace=True), "act"),
    "F.relu": (F.relu, "root"),
    "F.relu in place": (lambda x: F.relu(x, inplace=True), "root"),
    "torch.relu": (torch.relu, "root"),
    "method": (lambda x: x.relu(), "root"),
    "method in place": (lambda x: x.relu_(), "root"),
    "keyword": (lambda x: F.relu(input=x), "root"),
    "gelu": (nn.GELU(), "act"),
    "silu": (F.silu, "root"),
    "written out": (NewGELUActivation(), "act"),
    "called by one that may be written out": (GELUTanh(), "act"),
}


@pytest.mark.parametrize("way", WAYS)
def test_is_seen_before_and_after(way):
    act, name = WAYS[way]
    torch.manual_seed(0)
    block, x = Block(act), torch.randn(3, 4)
    before, after = [], []
    with (
        torch.no_grad(),
        Watch(block, lambda n, z: before.append((n, z.clone())), lambda n, z: after.append((n, z.clone()))),
    ):
        out = block(x)
    assert [n for n, _ in before] == [n for n, _ in after] == [name]
    torch.testing.assert_close(before[0][1], block.linear(x).detach())
    torch.testing.assert_close(after[0][1], (out - x).detach())


def test_calls_of_one_module_are_numbered_and_start_again_with_each_pass():
    shared = nn.ReLU()
    model = nn.Sequential(Block(shared), Block(shared))
    seen = []
    with torch.no_grad(), Watch(model, before=lambda n, z: seen.append(n)):
        model(torch.randn(2, 4))
        model(torch.randn(2, 4))
    assert seen == ["0.act", "0.act#2"] * 2


def test_nothing_is_left_behind():
    model = Block(nn.ReLU())
    seen = []
    with Watch(model, before=lambda n, z: seen.append(n)):
        pass
    model(torch.randn(2, 4))
    assert seen == []
    assert not model._forward_hooks
    assert not model.act._forward_pre_hooks


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_features_are_what_the_layers_return(chunk):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)
    )
    x = torch.randn(9, 1, 4, 4)
    found = features(model, (x, torch.zeros(9, dtype=torch.int64)), Classification(), chunk=chunk)
    assert list(found) == ["1", "4", "penultimate", "logits"]
    with torch.no_grad():
        one = model[:2](x).flatten(1)
        two = model[4](model[3](one))
        expected = {"1": one, "4": two, "penultimate": two, "logits": model[5](two)}
    for layer, rows in expected.items():
        torch.testing.assert_close(found[layer], rows)


def test_only_the_last_features():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    batch = torch.randn(6, 4), torch.zeros(6, dtype=torch.int64)
    assert list(features(model, batch, Classification(), layers=False)) == ["penultimate", "logits"]


class Adapted(nn.Module):
    """A linear layer with a low-rank adapter beside it."""

    def __init__(self):
        super().__init__()
        self.base_layer, self.lora_A, self.lora_B = nn.Linear(4, 3), nn.Linear(4, 2), nn.Linear(2, 3)

    def forward(self, x):
        return self.base_layer(x) + self.lora_B(self.lora_A(x))


def test_penultimate_features_are_not_those_of_an_adapter():
    model, x = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), Adapted()), torch.randn(6, 5)
    found = features(model, (x, torch.zeros(6, dtype=torch.int64)), Classification())
    torch.testing.assert_close(found["penultimate"], model[:2](x).detach())
