"""Passes over the data: what is read is counted, example by example."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.evaluate.cost import Metered
from ungrok.methods import UNLEARNERS


def batches(sizes, seed):
    draw = torch.Generator().manual_seed(seed)
    return [(torch.randn(n, 3, generator=draw), torch.randint(0, 2, (n,), generator=draw)) for n in sizes]


def test_examples_are_counted_not_batches():
    meter = Metered(batches([4, 4, 2], 0), 10)
    assert (len(meter), meter.passes) == (3, 0)
    stream = iter(meter)
    next(stream)
    assert meter.passes == 0.4
    assert sum(len(targets) for _, targets in stream) == 6
    assert meter.passes == 1
    list(meter)
    assert meter.passes == 2


# Passes over forget (2 batches of 10 examples) and retain (3 batches of 20), worked out from each rule.
COST = {
    "gradient_ascent": ({"epochs": 3}, (3, 0)),
    "finetune": ({"epochs": 3}, (0, 3)),
    "l1_sparse": ({"epochs": 2}, (0, 2)),
    "random_label": ({"epochs": 2}, (2, 2)),
    "salun": ({"epochs": 2}, (3, 2)),
    "scrub": ({"epochs": 3, "msteps": 2}, (2, 3)),
    # Three forget batches an epoch: 6, 4 and again 6 of 10 examples.
    "neggrad_plus": ({"epochs": 2}, (3.2, 2)),
    "weight_attenuation": ({"epochs": 2}, (0, 2)),
    "weight_dropout": ({"epochs": 2}, (0, 2)),
    "weight_distortion": ({"epochs": 2}, (0, 2)),
    # Before its epochs both forget batches and two retain batches, 16 of 20 examples.
    "msg": ({"epochs": 2, "layers": "all"}, (1, 2.8)),
    "fisher": ({}, (0, 1)),
    "ssd": ({}, (1, 1)),
}


@pytest.mark.parametrize("kind", COST)
def test_what_methods_cost(kind):
    settings, expected = COST[kind]
    forget, retain = Metered(batches([6, 4], 0), 10), Metered(batches([8, 8, 4], 1), 20)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    path = UNLEARNERS.get(kind)(kind=kind, **settings).path(model, forget, retain, Classification())
    assert (forget.read, retain.read) == (0, 0)
    list(path)
    assert (forget.passes, retain.passes) == pytest.approx(expected)


def test_the_cost_of_a_part_of_a_path():
    forget, retain = Metered(batches([6, 4], 0), 10), Metered(batches([8, 8, 4], 1), 20)
    path = UNLEARNERS.get("gradient_ascent")(updates=5).path(nn.Linear(3, 2), forget, retain, Classification())
    assert [forget.passes for _ in path] == pytest.approx([0.6, 1.0, 1.6, 2.0, 2.6])


def test_loaders_are_still_known_for_what_they_are():
    data = TensorDataset(torch.randn(9, 3), torch.zeros(9).long())
    parts = [Metered(DataLoader(Subset(data, part), 2), len(part)) for part in ([0, 1, 2], [2, 3, 4])]
    with pytest.raises(RecipeError, match="share 1 examples, for instance index 2"):
        UNLEARNERS.get("finetune")().path(nn.Linear(3, 2), *parts, Classification())
