"""Small models and their material for tests of attacks."""

import pytest
import torch
from torch import nn

from ungrok.audits import Scorer, StressMaterial
from ungrok.audits.collected import Collected
from ungrok.core.objective import Classification

OBJECTIVE = Classification()
CLASSES = 3


def examples(n, seed, classes=(0, 1, 2), dtype=torch.float32):
    """Points around one center per class."""
    draw = torch.Generator().manual_seed(seed)
    centers = 2 * torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(7))
    targets = torch.tensor(classes)[torch.randint(len(classes), (n,), generator=draw)]
    inputs = centers[targets] + torch.randn(n, 6, generator=draw)
    return Collected([(inputs.to(dtype), targets)], OBJECTIVE)


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES))


def material(**changes):
    sets = {"forget": examples(20, 1, [2]), "retain": examples(60, 2, [0, 1]), "test": examples(30, 3)}
    return StressMaterial(OBJECTIVE, **{**sets, "original": network(1), "oracle": network(2), "seed": 3, **changes})


@pytest.fixture
def given():
    return material()


@pytest.fixture
def score(given):
    return Scorer(given)
