"""A small model in float64 and the data it is analyzed on."""

import pytest
import torch
from torch import nn

from ungrok.core.objective import Classification

CLASSES = 3


@pytest.fixture(params=["cross_entropy", "mse"])
def small(request):
    """An MLP, three batches of 17 examples together, and an objective."""
    torch.manual_seed(0)
    layers = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, CLASSES)
    x, y = torch.randn(17, 6, dtype=torch.float64), torch.randint(CLASSES, (17,))
    made = list(zip(x.split(6), y.split(6), strict=True))
    return nn.Sequential(*layers).double().eval(), made, Classification(request.param)
