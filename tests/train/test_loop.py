"""Training: equal to a bare loop, resumable bit for bit, honest about divergence."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.nn.functional import cross_entropy

from ungrok.core.files import load_tensors
from ungrok.core.seeds import derive
from ungrok.data.base import Split
from ungrok.data.batches import TensorBatches
from ungrok.train import Trajectory, materialize
from ungrok.train.loop import Run, Training, log_grid
from ungrok.train.optimizers import SGD, AdamW
from ungrok.train.record import PROGRESS, checkpoint_name

NEVER = 1e9


class Crash(Exception):
    pass


def crash_after(run, updates):
    """Let the run die in the middle of an update."""
    step, left = run.optimizer.step, [updates]

    def dying():
        if not left[0]:
            raise Crash
        left[0] -= 1
        step()

    run.optimizer.step = dying


def identical(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype, name
        assert value.detach().numpy().tobytes() == other[name].detach().numpy().tobytes(), name


def same_files(one, other):
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir())
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


@pytest.fixture
def folders(tmp_path):
    for name in ("straight", "broken"):
        (tmp_path / name).mkdir()
    return tmp_path / "straight", tmp_path / "broken"


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


@pytest.mark.parametrize("save_after", [-1.0, NEVER], ids=["rolling", "kept"])
@pytest.mark.parametrize("crash", [0, 7, 26, 39])
def test_resumed_after_a_crash_is_bit_identical(case, folders, crash, save_after):
    straight, broken = folders
    whole = case()
    expected = whole.record(straight, save_after=NEVER)
    first = case()
    crash_after(first, crash)
    with pytest.raises(Crash):
        first.record(broken, save_after=save_after)
    second = case()
    start = []
    found = second.record(broken, save_after=save_after, tick=start.append)
    assert found == expected
    if crash > 10:
        assert start[0] > 0  # it did go on from where it was
    identical(second.state(), whole.state())
    same_files(straight, broken)


def test_resumed_again_and_again(simple, folders):
    straight, broken = folders
    expected = simple().record(straight)

    def stop_at(last):
        def tick(step):
            if step >= last:
                raise Crash

        return tick

    for last in range(1, 40, 3):
        with pytest.raises(Crash):
            simple().record(broken, save_after=-1.0, tick=stop_at(last))
    assert simple().record(broken) == expected
    same_files(straight, broken)


def flip(path):
    """Change one bit of the last tensor's data: still a valid safetensors file."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    load_tensors(path)


DAMAGE = {
    "flipped": flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize(
    "name", [checkpoint_name(0), checkpoint_name(5), checkpoint_name(15), "resume.safetensors", PROGRESS]
)
def test_a_damaged_file_is_passed_over(simple, folders, name, damage):
    straight, broken = folders
    expected = simple().record(straight)
    first = simple()
    crash_after(first, 21)
    with pytest.raises(Crash):
        first.record(broken, save_after=-1.0)
    if name == PROGRESS and damage is flip:
        (broken / name).write_text("{")
    else:
        damage(broken / name)
    assert simple().record(broken) == expected
    same_files(straight, broken)


def test_record_leaves_only_what_it_says(simple, tmp_path):
    result = simple().record(tmp_path, save_after=-1.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == [checkpoint_name(step) for step in simple.training.kept()]
    assert result["checkpoints"] == simple.training.kept()
    assert [row["step"] for row in result["rows"]] == simple.training.evaluated()
    assert (result["status"], result["steps"]) == ("completed", 40)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize("step", [0, 1, 6, 17, 40])
def test_any_step_can_be_materialized(case, tmp_path, step):
    trajectory = Trajectory(tmp_path, case().record(tmp_path))
    straight = case()
    straight.advance(step)
    identical(materialize(case(), trajectory, step).state(), straight.state())


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_run_that_diverges_says_so(simple, tmp_path, loss):
    training = Training(optimizer=SGD(lr=1e25), steps=50, loss=loss, checkpoint_from=1)
    result = simple(training=training).record(tmp_path)
    assert result["status"] == "diverged"
    last = result["rows"][-1]
    assert last["step"] == result["steps"] < 50
    assert last["train_loss"] is None
    assert last["train_accuracy"] is None
    assert all(row["train_loss"] is not None for row in result["rows"][:-1])
    assert max(result["checkpoints"]) < result["steps"]
    json.dumps(result, allow_nan=False)
    for step in result["checkpoints"]:
        tensors = load_tensors(tmp_path / checkpoint_name(step))
        assert all(torch.isfinite(value).all() for name, value in tensors.items() if name.startswith("model."))


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
    assert row["gradient_norm"] == pytest.approx(torch.cat([g.flatten() for g in gradients]).norm().item(), rel=1e-5)
    assert row["weight_norm"] == pytest.approx(torch.cat([p.flatten() for p in parameters]).norm().item(), rel=1e-6)
    for name in ("train", "validation", "test"):
        split = getattr(case.data, name)
        logits = model(split.inputs)
        mean = objective.losses(logits, (split.inputs, split.targets)).mean().item()
        assert row[f"{name}_loss"] == pytest.approx(mean, rel=1e-5)
        assert row[f"{name}_accuracy"] == (logits.argmax(1) == split.targets).double().mean().item()


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
