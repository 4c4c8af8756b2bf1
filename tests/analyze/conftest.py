"""Small models in float64 and the data they are analyzed on."""

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.core.objective import Classification

CLASSES = 3


def batches(n, seed, size=5, width=6):
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, width, generator=draw)
    targets = torch.randint(CLASSES, (n,), generator=draw)
    return list(zip(inputs.split(size), targets.split(size), strict=True))


def mlp(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, CLASSES)).to(dtype)


def double(made):
    return [(x.double(), y) for x, y in made]


@pytest.fixture
def subject():
    """An MLP with 12 examples to forget, 30 to retain and 20 to test on, and another MLP to compare with."""
    sets = {"forget": batches(12, 1), "retain": batches(30, 2), "test": batches(20, 3)}
    other = mlp()
    with torch.no_grad():
        for p in other.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(4)))
    return Subject(mlp(), Classification(), sets, {"other": other}, seed=0)


@pytest.fixture(params=["cross_entropy", "mse"])
def small(request):
    """A float64 MLP, its batches and an objective."""
    return mlp(torch.float64).eval(), double(batches(17, 5, size=6)), Classification(request.param)
