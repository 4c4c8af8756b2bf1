"""What every analysis promises, checked on every registered one."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ungrok.analyze import ANALYSES, Subject
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.core.schema import Schema

P = 5
SETTINGS = {
    "curvature": {"steps": 5, "products": 6, "draws": 2},
    "learning_coefficient": {"steps": 20, "burn_in": 5, "chains": 2},
    "local_complexity": {"directions": 3, "radius": 0.5},
    "robustness": {"attack": {"kind": "pgd_linf", "radius": 0.5, "step": 0.2}, "draws": 2},
    "separation": {"draws": 3, "probe_draws": 2, "components": 2},
}
"""Cheaper than the defaults."""


def analysis(name):
    return ANALYSES.get(name)(**SETTINGS.get(name, {}))


class Transformer(nn.Module):
    """A small transformer classifier whose two tokens are a and b."""

    def __init__(self):
        super().__init__()
        self.embed, self.attend = nn.Linear(P, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.down, self.out = nn.Linear(8, 12), nn.Linear(12, 8), nn.Linear(8, P)

    def forward(self, x):
        h = self.embed(x.view(-1, 2, P))
        h = h + self.attend(h, h, h, need_weights=False)[0]
        h = h + self.down(F.gelu(self.up(h)))
        return self.out(h.mean(dim=1))


MODELS = {
    "mlp": lambda: nn.Sequential(nn.Linear(2 * P, 8), nn.ReLU(), nn.Linear(8, P)),
    "cnn": lambda: nn.Sequential(
        nn.Unflatten(1, (2, P)), nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Dropout(),
        nn.Flatten(), nn.Linear(4 * P, P),
    ),
    "transformer": Transformer,
}  # fmt: skip


@pytest.fixture(params=ANALYSES.names())
def name(request):
    return request.param


@pytest.fixture(params=MODELS)
def subject(request):
    a, b = torch.cartesian_prod(torch.arange(P), torch.arange(P)).unbind(1)
    x, y = torch.cat([torch.eye(P)[a], torch.eye(P)[b]], dim=1), (a + b) % P
    order = torch.randperm(P * P, generator=torch.Generator().manual_seed(0))

    def batches(index):
        return list(zip(x[index].split(4), y[index].split(4), strict=True))

    sets = {"forget": batches(order[:6]), "retain": batches(order[6:18]), "test": batches(order[18:])}
    torch.manual_seed(0)
    model, other = MODELS[request.param](), MODELS[request.param]()
    return Subject(model.train(), Classification(), sets, {"other": other}, seed=1)


def rows(name, subject):
    return [row for reading in analysis(name).measure(subject) for row in reading.rows()]


def state(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def test_returns_numbers_with_units_and_nulls_in_order(name, subject):
    found = rows(name, subject)
    assert any(row["value"] is not None for row in found)
    for row in found:
        assert row["value"] is None or math.isfinite(row["value"])
        assert row["unit"]
        if row["null"]:
            assert row["low"] <= row["value"] <= row["high"]
            assert row["draws"] >= 1
    keys = [(r["measure"], r["on"], r["layer"], r["null"]) for r in found]
    assert len(set(keys)) == len(keys)


def test_model_mode_weights_gradients_and_random_state_are_untouched(name, subject):
    models = [subject.model, subject.references["other"]]
    before = [state(m) for m in models]
    modes = [[m.training for m in model.modules()] for model in models]
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    rows(name, subject)
    assert torch.equal(torch.rand(3), expected)
    for model, kept, mode in zip(models, before, modes, strict=True):
        assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
        assert [m.training for m in model.modules()] == mode
        assert all(p.grad is None for p in model.parameters())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_same_seed_same_numbers(name, subject):
    assert rows(name, subject) == rows(name, copy.deepcopy(subject))


@pytest.mark.parametrize("subject", ["mlp"], indirect=True)
def test_what_stands_beside_a_measure_is_read_and_is_not_all(name, subject):
    measures = {row["measure"] for row in rows(name, subject)}
    beside = analysis(name).beside()
    assert beside - measures <= {"normalized_gradient_cosine_other_classes"}, "here every class has forget examples"
    assert measures - beside


NEEDS = [(name, need) for name in ANALYSES.names() for need in ANALYSES.get(name).needs]


@pytest.mark.parametrize(("name", "need"), NEEDS)
def test_what_is_missing_is_named(name, need, subject):
    sets = {role: made for role, made in subject.sets.items() if role != need}
    references = {} if need == "references" else subject.references
    with pytest.raises(RecipeError, match=need):
        analysis(name).measure(Subject(subject.model, subject.objective, sets, references))


def test_is_a_schema_with_a_documented_cost_and_source(name):
    cls = ANALYSES.get(name)
    assert issubclass(cls, Schema)
    assert "Cost:" in cls.__doc__
    assert "ource:" in cls.__doc__
