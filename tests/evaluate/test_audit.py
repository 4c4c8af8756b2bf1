"""An audit as text and as JSON."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from ungrok import audit
from ungrok.evaluate.membership import READING


def batches(n, seed, size=5):
    draw = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(n, 4, generator=draw), torch.randint(0, 3, (n,), generator=draw)
    return [(inputs[i : i + size], targets[i : i + size]) for i in range(0, n, size)]


def model(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))


SETS = {"forget": batches(12, 0), "retain": batches(18, 1), "test": batches(16, 2)}


MODELS = {"original": model(0), "unlearned": model(1), "oracle": model(2)}


@pytest.fixture(scope="module")
def found():
    return audit(MODELS["original"], MODELS["unlearned"], **SETS, oracle=MODELS["oracle"], factory=lambda: model(3))


def test_json_and_text(found):
    read = json.loads(found.to_json())
    assert read["reading"] == READING
    assert read["membership"]["oracle"]["loss"]["auc"] == found.membership["oracle"]["loss"].auc
    assert read["membership"]["unlearned"]["loss"]["tpr_at_0_001"] is None
    lines = str(found).splitlines()
    assert lines[-1] == READING
    assert lines[2].split() == ["unlearned", *(f"{v:.3f}" for v in found.accuracies["unlearned"].values())]
    svc = next(line for line in lines if line.split()[0] == "svc")
    for name in MODELS:
        assert f"{found.membership[name]['svc'].auc:.3f} [" in svc


def test_numbers_stand_under_their_names(found):
    header, *models = str(found).splitlines()[: 1 + len(MODELS)]
    for name in ("UA", "RA", "TA"):
        end = header.index(name) + len(name)
        for line, accuracies in zip(models, found.accuracies.values(), strict=True):
            assert line[:end].endswith(f" {accuracies[name]:.3f}")


def test_a_number_that_is_not_finite_is_no_json(found):
    with pytest.raises(ValueError, match="JSON"):
        dataclasses.replace(found, oracle_gap=float("nan")).to_json()
