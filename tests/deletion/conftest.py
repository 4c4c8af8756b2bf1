"""A classifier that has learned random labels by heart, and a deletion from it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import ungrok

ATTACKS = [ungrok.Relearn(shares=(0, 0.2), updates=20, lr=0.05)]
METHOD = ungrok.GradientAscent(lr=0.1, updates=10)


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3))


def trained(inputs, targets, seed=0):
    model = network(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return model


@pytest.fixture(scope="session")
def world():
    """Return inputs, targets, the three sets, the original and the oracle."""
    draw = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(60, 8, generator=draw), torch.randint(0, 3, (60,), generator=draw)

    def batches(first, last):
        return list(zip(inputs[first:last].split(10), targets[first:last].split(10), strict=True))

    return SimpleNamespace(
        inputs=inputs,
        targets=targets,
        batches=batches,
        sets={"forget": batches(0, 6), "retain": batches(6, 40), "test": batches(40, 60)},
        original=trained(inputs[:40], targets[:40]),
        oracle=trained(inputs[6:40], targets[6:40]),
    )


@pytest.fixture(scope="session")
def made(world, tmp_path_factory):
    """Return a deletion, and the folder with its record and the new model."""
    folder = tmp_path_factory.mktemp("deletion")
    deletion = ungrok.delete(
        world.original,
        **world.sets,
        method=METHOD,
        attacks=ATTACKS,
        record=folder / "record.json",
        out=folder / "new.safetensors",
    )
    return SimpleNamespace(deletion=deletion, record=deletion.record, folder=folder)
