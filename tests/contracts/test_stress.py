"""What every stress test promises, checked on every registered one, on every kind of model that it attacks."""

import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ungrok.audits import STRESS_TESTS, Scorer, StressMaterial, attacked
from ungrok.audits.collected import Collected
from ungrok.core.causal_lm import CausalLM
from ungrok.core.modules import duplicate
from ungrok.core.objective import Classification

KINDS = [kind for kind in STRESS_TESTS.names() if STRESS_TESTS.get(kind).__module__.startswith("ungrok.")]


@dataclass(frozen=True)
class Case:
    """What is promised of one stress test.

    Args:
        doses: Those of a path with ``settings``, the untouched model's first.
        settings: Shorter than the defaults.
        frozen: Whether parameters that are frozen stay as they are.
        buffers: Whether the statistics of normalization move.
        still: Whether no weight moves at all.
        draws: Whether another seed gives another path.

    """

    doses: tuple[float, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    frozen: bool = False
    buffers: bool = False
    still: bool = False
    draws: bool = False


CASES = {
    "extract": Case((0, 0.5), {"shares": 0.5}, still=True),
    "interpolate": Case((0, 0.25, 0.5, 0.75, 1), {"parts": 4}, buffers=True),
    "linear_probe": Case((0, 1, 2), still=True, draws=True),
    "prune": Case((0, 0.2, 0.6), {"shares": (0.6, 0.2)}),
    "quantize": Case((32, 4, 2), {"bits": (2, 4)}),
    "relearn": Case(
        (0, 1, 2, 3), {"updates": 3, "lr": 0.1, "shares": 0.1, "batch": 16}, frozen=True, buffers=True, draws=True
    ),
    "weight_noise": Case((0, 0.1, 0.5), {"levels": (0.5, 0.1)}, draws=True),
}


def test_the_table_holds_every_stress_test():
    assert set(CASES) == set(KINDS)


def images(n, seed, classes, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    targets = torch.tensor(classes)[torch.randint(len(classes), (n,), generator=draw)]
    return Collected([(torch.randn(n, 1, 4, 4, generator=draw).to(dtype), targets)], Classification())


def texts(n, seed, dtype=None):
    ids = torch.randint(1, 9, (n, 6), generator=torch.Generator().manual_seed(seed))
    labels = ids.clone()
    labels[:, :2] = -100
    return Collected([{"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}], CausalLM())


def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def normalized():
    """Batch normalization and dropout, and submodules in different modes."""
    head = nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.LayerNorm(4), nn.Linear(4, 3)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), *head)
    with torch.no_grad():
        model[1].running_mean.uniform_()
    model[3].eval()
    return model


def low():
    return plain().bfloat16()


def frozen():
    model = plain()
    model[1].requires_grad_(requires_grad=False)
    return model


class Adapted(nn.Module):
    """A frozen layer with a low-rank adapter written out, as without peft, and a head that is trained."""

    def __init__(self):
        super().__init__()
        self.base, self.middle, self.head = nn.Linear(16, 8), nn.Linear(8, 6), nn.Linear(6, 3)
        self.lora_a, self.lora_b = nn.Linear(16, 2, bias=False), nn.Linear(2, 8, bias=False)
        self.base.requires_grad_(requires_grad=False)

    def forward(self, x):
        x = x.flatten(1)
        return self.head(torch.relu(self.middle(torch.relu(self.base(x) + self.lora_b(self.lora_a(x))))))


class Speaking(nn.Module):
    """A language model with one matrix for input and output embeddings."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(9, 8), nn.Linear(8, 8), nn.Linear(8, 9)
        self.head.weight = self.embed.weight

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=self.head(torch.relu(self.mix(self.embed(input_ids)))))


CLASSIFIERS = {"plain": plain, "normalized": normalized, "bfloat16": low, "frozen": frozen, "adapted": Adapted}
MODELS = CLASSIFIERS | {"language": Speaking}
PAIRS = [
    (kind, name)
    for kind in KINDS
    for name in MODELS
    if ("language" if name == "language" else "classifier") in STRESS_TESTS.get(kind).inputs
]


def test_every_stress_test_attacks_something():
    assert {kind for kind, _ in PAIRS} == set(KINDS)
    assert ("relearn", "language") in PAIRS
    assert ("extract", "plain") not in PAIRS


def build(name, seed=0):
    torch.manual_seed(seed)
    return MODELS[name]()


def material(name, **changes):
    dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
    sets = (
        {"forget": texts(20, 1), "retain": texts(40, 2), "test": texts(9, 3)}
        if name == "language"
        else {
            "forget": images(20, 1, [2], dtype),
            "retain": images(40, 2, [0, 1], dtype),
            "test": images(12, 3, [0, 1, 2], dtype),
        }
    )
    objective = CausalLM() if name == "language" else Classification()
    given = {"original": build(name, 1), "oracle": build(name, 2), "seed": 5}
    return StressMaterial(objective, **(sets | given | changes))


@pytest.fixture(params=PAIRS, ids=lambda pair: "-".join(pair))
def pair(request):
    return request.param


def stress(kind, **changes):
    return STRESS_TESTS.get(kind)(**CASES[kind].settings | changes)


def path_of(kind, model, given):
    test = stress(kind)
    return test.path(model, given, test.settings()[0])


def content(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def walk(kind, model, given):
    return [(step.dose, step.updates, content(step.model)) for step in path_of(kind, model, given)]


def same(one, other):
    assert [place[:2] for place in one] == [place[:2] for place in other]
    return all(equal(mine[2], theirs[2]) for mine, theirs in zip(one, other, strict=True))


def test_the_models_handed_in_are_not_changed(pair):
    kind, name = pair
    model, given = build(name).train(), material(name)
    watched = [model, given.original, given.oracle]
    before = [content(one) for one in watched]
    modes = [[module.training for module in one.modules()] for one in watched]
    asked = [[p.requires_grad for p in one.parameters()] for one in watched]
    walk(kind, model, given)
    assert all(equal(content(one), kept) for one, kept in zip(watched, before, strict=True))
    assert [[module.training for module in one.modules()] for one in watched] == modes
    assert [[p.requires_grad for p in one.parameters()] for one in watched] == asked
    assert all(p.grad is None for one in watched for p in one.parameters())


def test_the_path_begins_with_the_untouched_model_and_runs_over_its_doses(pair):
    kind, name = pair
    model = build(name)
    places = walk(kind, model, material(name))
    doses = [dose for dose, _, _ in places]
    assert doses == list(CASES[kind].doses)
    assert equal(places[0][2], content(model))
    assert [updates for _, updates, _ in places] == (doses if kind == "relearn" else [0] * len(places))


def test_the_model_is_live(pair):
    kind, name = pair
    models = [step.model for step in path_of(kind, build(name), material(name))]
    bodies = {id(getattr(model, "body", model)) for model in models}
    assert len(models) > 1
    assert len(bodies) == 1


def test_weights_move_unless_none_do(pair):
    kind, name = pair
    model = build(name)
    *_, last = path_of(kind, model, material(name))
    body = getattr(last.model, "body", last.model)
    assert equal(content(body), content(model)) == CASES[kind].still


def test_the_same_seed_gives_the_same_bytes(pair):
    kind, name = pair
    walks = []
    for callers in (1, 2):
        given, model = material(name), build(name)
        torch.manual_seed(callers)
        walks.append(walk(kind, model, given))
    assert same(*walks)


def test_another_seed_gives_another_path_where_anything_is_drawn(pair):
    kind, name = pair
    one, other = (walk(kind, build(name), material(name, seed=seed)) for seed in (5, 6))
    assert same(one, other) != CASES[kind].draws


def states():
    return torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002


def test_the_callers_random_state_never_moves(pair):
    kind, name = pair
    model, given = build(name).train(), material(name)
    before = states()
    for _ in path_of(kind, model, given):
        now = states()
        assert torch.equal(now[0], before[0])
        assert now[1:] == before[1:]
    assert torch.equal(torch.get_rng_state(), before[0])


def test_a_path_goes_on_where_it_paused_whatever_the_caller_does(pair):
    """Another draw, another mode, another path in between, and a look at the model."""
    kind, name = pair
    model, given = build(name).train(), material(name)
    alone = walk(kind, model, given)
    paused, scorer = [], Scorer(given)
    beside = path_of(kind, build(name, 7), material(name, seed=8))
    for step in path_of(kind, model, given):
        paused.append((step.dose, step.updates, content(step.model)))
        torch.randn(3)
        step.model.eval()
        scorer(step.model, given.held_back(0.1))
        next(beside)
    assert same(alone, paused)


def test_gradients_are_as_the_caller_has_them(pair):
    kind, name = pair
    path = path_of(kind, build(name), material(name))
    for _ in path:
        assert torch.is_grad_enabled()
    with torch.no_grad():
        inside = walk(kind, build(name), material(name))
        assert not torch.is_grad_enabled()
    assert same(inside, walk(kind, build(name), material(name)))


@pytest.mark.parametrize("name", ["frozen", "adapted"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "classifier" in STRESS_TESTS.get(kind).inputs])
def test_frozen_parameters(kind, name):
    """Training leaves them alone; what is done to weights for another reason is done to all."""
    model = build(name)
    *_, last = path_of(kind, model, material(name))
    body = getattr(last.model, "body", last.model)
    key = "1.weight" if name == "frozen" else "base.weight"
    stays = torch.equal(body.get_parameter(key), model.get_parameter(key))
    assert stays == (CASES[kind].frozen or CASES[kind].still)
    assert any(not p.requires_grad for p in body.parameters())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "classifier" in STRESS_TESTS.get(kind).inputs])
def test_statistics_of_normalization(kind):
    model = build("normalized")
    *_, last = path_of(kind, model, material("normalized"))
    body = getattr(last.model, "body", last.model)
    assert torch.equal(body[1].running_mean, model[1].running_mean) != CASES[kind].buffers


@pytest.mark.parametrize("kind", [kind for kind, name in PAIRS if name == "language"])
def test_tied_weights_stay_tied(kind):
    for step in path_of(kind, build("language"), material("language")):
        assert step.model.head.weight is step.model.embed.weight


def test_types_stay(pair):
    kind, name = pair
    model = build(name)
    for step in path_of(kind, model, material(name)):
        body = getattr(step.model, "body", step.model)
        assert [p.dtype for p in body.parameters()] == [p.dtype for p in model.parameters()]


def test_the_oracle_against_itself_has_no_gap(pair):
    kind, name = pair
    given = material(name)
    mine, its = (
        attacked(stress(kind), model, given, Scorer(given)) for model in (given.oracle, duplicate(given.oracle))
    )
    assert len(mine) == len(walk(kind, given.oracle, given))
    assert [row["UA"] - other["UA"] for row, other in zip(mine, its, strict=True)] == [0] * len(mine)


def test_rows_are_read_on_examples_that_the_attacker_does_not_hold(pair):
    kind, name = pair
    given, counts = material(name), []

    def score(model, held_back):
        counts.append(len(held_back))
        return Scorer(given)(model, held_back)

    rows = attacked(stress(kind), build(name), given, score)
    assert set(counts) == {18 if rows[0]["share"] else 20}


def test_a_wrapped_model_gives_the_same_path(pair):
    kind, name = pair
    wrapped = nn.DataParallel(build(name))
    assert same(walk(kind, wrapped, material(name)), walk(kind, build(name), material(name)))
