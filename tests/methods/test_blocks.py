"""Where blocks begin, and what stays still outside the last ones."""

import pytest
import torch
from torch import nn

from ungrok.core.errors import NotApplicable
from ungrok.core.objective import Classification
from ungrok.methods.blocks import blocks
from ungrok.methods.catastrophic_forgetting_k import CatastrophicForgettingK
from ungrok.methods.exact_unlearning_k import ExactUnlearningK

BATCHES = [(torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(i)), torch.arange(6) % 3) for i in (0, 1)]


def network():
    torch.manual_seed(3)
    body = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
    return nn.Sequential(*body, nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return self.inner(x)


def test_blocks_take_their_normalization_along():
    assert blocks(network()) == [["0", "1"], ["3", "4"], ["7"]]


def test_a_lone_child_is_looked_into():
    assert blocks(Wrapped()) == [["inner.0", "inner.1"], ["inner.3", "inner.4"], ["inner.7"]]
    assert blocks(nn.Sequential(nn.Linear(2, 2))) == [["0"]]


def last_of(method, model, factory=network):
    *_, last = method.path(model, BATCHES[:1], BATCHES[1:], Classification(), factory=factory)
    return last.model.state_dict()


@pytest.mark.parametrize("cls", [CatastrophicForgettingK, ExactUnlearningK])
@pytest.mark.parametrize(("k", "moving"), [(1, ("7",)), (2, ("3", "4", "7")), (3, ("0", "1", "3", "4", "7"))])
@pytest.mark.parametrize("build", [network, Wrapped])
def test_only_the_last_blocks_move(cls, k, moving, build):
    """Neither weights, through decay or momentum, nor running statistics of the others."""
    model = build()
    last = last_of(cls(k=k, lr=0.1, weight_decay=0.1, epochs=2), model, build)
    for name, value in model.state_dict().items():
        assert torch.equal(value, last[name]) == (name.removeprefix("inner.").split(".")[0] not in moving), name


@pytest.mark.parametrize("cls", [CatastrophicForgettingK, ExactUnlearningK])
def test_a_model_with_fewer_blocks_is_refused_before_any_work(cls):
    class Unread:
        def __iter__(self):
            raise AssertionError("read before the model was checked")

    with pytest.raises(NotApplicable, match="k = 4, but the model has only 3 blocks"):
        cls(k=4).path(network(), Unread(), Unread(), Classification(), factory=network)
