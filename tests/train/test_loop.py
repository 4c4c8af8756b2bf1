"""Training: equal to a bare loop, resumable bit for bit, honest about divergence."""

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.nn.functional import cross_entropy

from ungrok.core.errors import NotApplicable
from ungrok.core.seeds import derive
from ungrok.data.base import Data, Split
from ungrok.data.batches import TensorBatches
from ungrok.train import Trajectory, materialize
from ungrok.train.grokfast import GrokfastEMA
from ungrok.train.loop import Run, Training, log_grid
from ungrok.train.optimizers import SGD, AdamW
from ungrok.train.sam import SAM


def identical(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype, name
        mine, theirs = (x.detach().reshape(-1).view(torch.uint8) for x in (value, other[name]))
        assert torch.equal(mine, theirs), name


@given(st.integers(1, 3000), st.floats(0.01, 1), st.integers(1, 60))
def test_log_grid(last, spacing, first):
    grid = log_grid(last, spacing, first)
    assert grid[0] == 0
    assert grid[-1] == last
    assert grid[1] == min(first, last)
    assert all(b - a == 1 or (0 < b - a <= spacing * a + 1e-9) for a, b in pairwise(grid[1:]))
    assert all(b > a for a, b in pairwise(grid))
    # No denser than asked for: the next integer would leave a wider gap, the end aside.
    assert all(b + 1 - a > spacing * a - 1e-9 for a, b in pairwise(grid[1:-1]))


def test_grids_of_a_training():
    training = Training(steps=20, evaluate_every=0.5, checkpoint_every=1, checkpoint_from=4)
    assert training.evaluated() == [0, 1, 2, 3, 4, 6, 9, 13, 19, 20]
    assert training.kept() == [0, 4, 8, 16, 20]


@pytest.mark.parametrize(
    ("replay", "restarts"),
    [(0, [0, 4, 8, 16]), (0.3, [0, 4, 8, 16]), (0.4, [0, 8, 16]), (0.6, [0, 8]), (0.8, [0, 16]), (1, [0])],
)
def test_states_are_kept_where_a_replay_would_else_be_longer_than_its_share(replay, restarts):
    """Of 0, 4, 8, 16 and 20: with 0.4, at most 8 updates."""
    training = Training(steps=20, evaluate_every=0.5, checkpoint_every=1, checkpoint_from=4, replay=replay)
    assert training.restarts() == restarts
    assert training.spec()["replay"] == replay
    assert "replay" not in Training().spec()


@given(steps=st.integers(1, 3000), every=st.floats(0.05, 2), first=st.integers(1, 100), replay=st.floats(0, 1))
@settings(max_examples=60)
def test_no_replay_is_longer_than_its_share_or_a_gap(steps, every, first, replay):
    training = Training(steps=steps, checkpoint_every=every, checkpoint_from=first, replay=replay)
    kept, restarts = training.kept(), training.restarts()
    assert restarts[0] == 0
    assert set(restarts) <= set(kept)
    for here, after in pairwise([*restarts, steps]):
        gap = min(k for k in kept if k > here) - here if here < steps else 0
        assert after - here <= max(replay * steps, gap)


def test_optimizer_is_parsed_by_kind():
    assert Training.model_validate({"optimizer": {"kind": "sgd"}}).optimizer == SGD()
    with pytest.raises(ValidationError, match="nesterov"):
        Training.model_validate({"optimizer": {"kind": "adamw", "nesterov": True}})


@pytest.mark.parametrize("batch_size", [None, 8])
def test_equal_to_a_bare_loop(simple, batch_size):
    """SGD with momentum and cosine decay, written out; the weights agree bit for bit."""
    config = SGD(lr=0.1, momentum=0.9, weight_decay=1e-2, schedule="cosine", warmup=3)
    training = Training(optimizer=config, steps=30, batch_size=batch_size)
    run = simple(training=training)
    model = simple().model
    run.advance(30)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-2)
    seed = None if batch_size is None else derive(simple.seed, "order")
    stream = (batch for epoch in range(30) for batch in TensorBatches(simple.data.train, batch_size, seed).epoch(epoch))
    for step, (inputs, targets) in zip(range(30), stream, strict=False):
        optimizer.param_groups[0]["lr"] = config.lr_at(step, 30)
        optimizer.zero_grad()
        cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    identical(run.model.state_dict(), model.state_dict())


def test_an_epoch_sees_every_example_once(simple):
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    simple(model=lambda: Spy(4, 3)).advance(3)
    rows = {tuple(row) for row in simple.data.train.inputs.tolist()}
    assert [len(x) for x in seen] == [8, 8, 4]
    assert {tuple(row) for row in torch.cat(seen).tolist()} == rows


def test_in_pieces_or_at_once_with_looks_in_between(case):
    once, pieces = case(), case()
    once.advance(40)
    torch.manual_seed(99)
    for stop in (1, 2, 9, 30, 40):
        pieces.advance(stop)
        pieces.measure()
        pieces.model.eval()
        torch.rand(5)
    identical(once.state(), pieces.state())


def test_seed_matters_and_the_callers_random_state_does_not(case):
    runs = []
    for callers, seed in ((0, 3), (1, 3), (0, 4)):
        torch.manual_seed(callers)
        before = torch.get_rng_state()
        runs.append(case(seed=seed))
        runs[-1].advance(5)
        assert torch.equal(torch.get_rng_state(), before)
    identical(runs[0].state(), runs[1].state())
    if case.training.batch_size is not None:
        weights = [next(iter(run.model.parameters())) for run in runs]
        assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("step", [0, 1, 6, 17, 40])
def test_any_step_can_be_materialized(case, tmp_path, step):
    trajectory = Trajectory(tmp_path, case().record(tmp_path))
    straight = case()
    straight.advance(step)
    identical(materialize(case(), trajectory, step).state(), straight.state())


def test_measure_against_autograd(case):
    """All in eval mode, over all examples, whatever the batch size."""
    run = case()
    run.advance(11)
    row = run.measure()
    model, objective = run.model.eval(), run.objective
    parameters = list(model.parameters())
    batch = (case.data.train.inputs, case.data.train.targets)
    loss = objective.losses(model(batch[0]), batch).mean()
    gradients = torch.autograd.grad(loss, parameters)
    assert row["step"] == 11
    assert row["epoch"] == pytest.approx(11 / len(run.batches))
    assert row["gradient_norm"] == pytest.approx(
        torch.cat([g.flatten() for g in gradients]).double().norm().item(), rel=1e-5
    )
    assert row["weight_norm"] == pytest.approx(
        torch.cat([p.flatten() for p in parameters]).double().norm().item(), rel=1e-6
    )
    for name in ("train", "validation", "test"):
        split = getattr(case.data, name)
        logits = model(split.inputs)
        mean = objective.losses(logits, (split.inputs, split.targets)).mean().item()
        assert row[f"{name}_loss"] == pytest.approx(mean, rel=1e-5)
        assert row[f"{name}_accuracy"] == (logits.argmax(1) == split.targets).double().mean().item()


@pytest.mark.parametrize(
    "changes", [{}, {"micro_batch": 3}, {"sam": SAM(rho=0.05)}, {"grokfast": GrokfastEMA()}], ids=str
)
def test_weights_of_few_bits_follow_float32_weights(simple, few, changes):
    """300 updates of about 1e-5: rounded one by one none of them would be left."""
    training = simple.training.model_copy(update={"optimizer": AdamW(lr=1e-5), "steps": 300, **changes})
    low = few(training=training)
    start = copy.deepcopy(low.model)
    exact = simple(training=training, model=lambda: nn.Sequential(*few.model()).float())
    for run in (low, exact):
        run.advance(300)
    ends = [torch.cat([p.detach().double().flatten() for p in run.model.parameters()]) for run in (low, exact)]
    before = torch.cat([p.detach().double().flatten() for p in start.parameters()])
    moved = (ends[1] - before).norm()
    masters = torch.cat([value.double().flatten() for value in low.masters.values])
    assert (masters - ends[1]).norm() < 0.1 * moved
    assert (ends[0] - masters).norm() <= before.norm() / 2**9
    assert all(p.dtype == torch.bfloat16 for p in low.model.parameters())


def test_a_model_of_frozen_parameters_cannot_be_trained(simple):
    with pytest.raises(NotApplicable, match=r"^training: every parameter of the model is frozen$"):
        simple(model=lambda: simple.model().requires_grad_(requires_grad=False))


def test_measure_leaves_no_gradients(simple):
    run = simple()
    run.advance(3)
    run.measure()
    assert all(p.grad is None for p in run.model.parameters())


def test_measure_in_chunks(simple):
    chunked = simple.training.model_copy(update={"evaluation_batch": 3})
    assert simple(training=chunked).measure() == pytest.approx(simple().measure(), rel=1e-6)


def test_frozen_parameters_stay(simple):
    def model():
        made = simple.model()
        made[0].weight.requires_grad_(requires_grad=False)
        return made

    run = simple(model=model)
    before = run.model[0].weight.clone()
    run.advance(10)
    assert torch.equal(run.model[0].weight, before)
    assert run.measure()["gradient_norm"] > 0


def test_an_oracle_never_sees_what_it_is_trained_without(simple):
    """Examples that a subset leaves out may hold anything."""
    retain = torch.arange(3, 20)
    spoiled = Split(simple.data.train.inputs.clone(), simple.data.train.targets.clone())
    spoiled.inputs[:3] = float("nan")
    runs = [simple(data=replace(simple.data, train=train.of(retain))) for train in (simple.data.train, spoiled)]
    for run in runs:
        run.advance(20)
    identical(runs[0].state(), runs[1].state())
    assert runs[0].measure() == runs[1].measure()
    full = simple()
    full.advance(20)
    assert not torch.equal(full.model[0].weight, runs[0].model[0].weight)


@pytest.mark.parametrize("optimizer", [AdamW(weight_decay=0.3), SGD(weight_decay=0.3)])
def test_weight_decay_shrinks_the_norm(simple, optimizer):
    norms = []
    for config in (optimizer, optimizer.model_copy(update={"weight_decay": 0.0})):
        run: Run = simple(training=Training(optimizer=config, steps=40))
        run.advance(40)
        norms.append(run.measure()["weight_norm"])
    assert norms[0] < norms[1]


def test_accuracies_are_read_on_the_classes_that_are_asked_for():
    """A model that is right on all but one class has accuracy 1 on the others, also under attack."""
    targets = torch.arange(12) % 3
    split = Split(torch.eye(3)[targets], targets)
    data = Data(split.of(targets < 2), split, split, 3, torch.zeros(0, dtype=torch.int64))
    model = nn.Linear(3, 3)
    with torch.no_grad():
        model.weight.copy_(torch.diag(torch.tensor([1.0, 1.0, 0.0])))
        model.bias.copy_(torch.tensor([0.0, 0.0, -9.0]))
    weak = {"attacks": [{"kind": "pgd_linf", "radius": 0.01, "step": 0.01, "box": None}], "examples": 12}
    run = Run(model, data, Training(steps=1, robustness=weak), 0)
    whole = run.measure()
    run.measure_on(data.train.targets)
    left = run.measure()
    signals = ["validation_accuracy", "test_accuracy", *(name for name in whole if name.startswith("adversarial"))]
    assert len(signals) == 3
    assert [whole[name] for name in signals] == [8 / 12] * 3
    assert [left[name] for name in signals] == [1.0] * 3
    assert left["train_accuracy"] == whole["train_accuracy"] == 1.0
    assert (len(run.data.validation), len(data.validation)) == (8, 12)
