"""The class that is added and dropped again."""

import math

import pytest
import torch
from torch import nn

from ungrok.core.errors import NotApplicable
from ungrok.core.objective import Classification
from ungrok.core.seeds import derive
from ungrok.methods.boundary_expand import BoundaryExpand


def test_the_first_loss_is_that_of_the_extra_class(small):
    """The row is uniform in ±1/√6, six inputs; its draw depends on the seed alone."""
    model, ((inputs, _),) = small.network(), small.batches(seed=1)
    draw = torch.Generator().manual_seed(derive(derive(0, "boundary_expand"), "row"))
    weight, bias = (torch.empty(shape).uniform_(-(6**-0.5), 6**-0.5, generator=draw) for shape in ((1, 6), (1,)))
    extra = model[:2](inputs) @ weight.T + bias
    logits = torch.cat([model(inputs), extra], dim=1)
    step = next(BoundaryExpand().path(model, [(inputs, torch.zeros(12, dtype=torch.int64))], None, Classification()))
    expected = [math.log(sum(math.exp(z) for z in row)) - row[3] for row in logits.tolist()]
    assert step.loss == pytest.approx(sum(expected) / 12, rel=1e-5)


def test_nothing_is_added_to_the_model_handed_back(small):
    end = small.last("boundary_expand", lr=0.1)
    assert {n: p.shape for n, p in end.named_parameters()} == {
        n: p.shape for n, p in small.network().named_parameters()
    }
    assert end(torch.zeros(1, 4)).shape == (1, 3)


def test_it_needs_a_linear_layer_that_gives_the_logits(small):
    conv = nn.Sequential(nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 3, 1), nn.Flatten())
    with pytest.raises(NotApplicable, match="no linear layer"):
        small.last("boundary_expand", conv)
    with pytest.raises(NotApplicable, match="the last linear layer has 6 outputs, the model 3"):
        small.last(
            "boundary_expand",
            nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (6, 1, 1)), nn.Conv2d(6, 3, 1), nn.Flatten()),
        )


class Calls(nn.Module):
    """Calls its last linear layer in one of several ways."""

    def __init__(self, way):
        super().__init__()
        self.first, self.last, self.way = nn.Linear(4, 3), nn.Linear(4, 3), way

    def forward(self, x):
        if self.way == "by name":
            return self.last(input=x)
        if self.way == "on some":
            return self.first(x).index_add(0, torch.arange(2), self.last(x[:2]))
        return self.first(x) if self.way == "never" else self.last(x) + self.last(2 * x)


@pytest.mark.parametrize("way", ["never", "twice", "on some"])
def test_the_last_linear_layer_is_called_once_with_every_example(small, way):
    with pytest.raises(NotApplicable, match="not called once, with one row for each example"):
        small.last("boundary_expand", Calls(way))


def test_a_layer_may_be_called_by_name(small):
    torch.manual_seed(0)
    model = Calls("by name")
    (named, plain) = (small.last("boundary_expand", m, lr=0.1) for m in (model, model.last))
    assert torch.equal(named.last.weight, plain.weight)
    assert not torch.equal(named.last.weight, model.last.weight)
