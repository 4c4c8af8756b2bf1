"""A recorded path and where on it a model can be had."""

import pytest
import torch

from ungrok.core.errors import DamagedFile, RecipeError
from ungrok.core.files import save_tensors
from ungrok.train import Trajectory, materialize
from ungrok.train.record import checkpoint_name

RESULT = {
    "status": "completed",
    "steps": 30,
    "checkpoints": [0, 10, 20, 30],
    "rows": [{"step": 0, "train_loss": None}, {"step": 30, "train_loss": 0.5}],
}


@pytest.fixture
def recorded(tmp_path):
    """A trajectory with whole states at 0 and 20, weights at 30, and a lost checkpoint at 10."""
    for step in (0, 20, 30):
        whole = {} if step == 30 else {"random.0": torch.zeros(1)}
        save_tensors(tmp_path / checkpoint_name(step), {"model.weight": torch.zeros(1), **whole})
    return Trajectory(tmp_path, RESULT)


@pytest.mark.parametrize(("step", "kept"), [(0, 0), (9, 0), (10, 0), (20, 20), (29, 20), (30, 20)])
def test_a_replay_starts_at_the_nearest_earlier_whole_state(recorded, step, kept):
    assert recorded.at_or_before(step) == kept
    assert recorded.at_or_before(step, restart=False) == (30 if step == 30 else kept)


def test_without_any_checkpoint_the_first_is_named(tmp_path):
    with pytest.raises(DamagedFile, match=r"step-000000000.safetensors: missing"):
        Trajectory(tmp_path, RESULT).at_or_before(5)


def test_every_step_is_the_same_however_few_states_are_kept(case, tmp_path):
    """Against the live run, at kept steps and between them; also with all but the first checkpoint gone."""
    trajectory = Trajectory(tmp_path, case().record(tmp_path))
    steps = (0, 5, 13, 40)
    assert len(trajectory.checkpoints) > len(case.training.restarts()) > 2
    for lost in (False, True):
        for step in trajectory.checkpoints[1:] if lost else ():
            (tmp_path / checkpoint_name(step)).unlink(missing_ok=True)
        live = case()
        for step in steps:
            live.advance(step)
            there = materialize(case(), trajectory, step)
            bytes_equal(there.state(), live.state())
            there = materialize(case(), trajectory, step, weights_only=True)
            assert there.step == step
            bytes_equal(there.weights(), live.weights())


def test_what_older_stores_hold_is_read_as_it_is(simple, tmp_path, monkeypatch):
    """Plain files, of weights alone at kept steps that are no restart: nothing is replayed to get there."""
    trajectory = Trajectory(tmp_path, simple().record(tmp_path))
    for step in trajectory.checkpoints:
        live = simple()
        live.advance(step)
        whole = step in simple.training.restarts()
        save_tensors(tmp_path / checkpoint_name(step), live.state() if whole else live.weights())
    live = simple()
    live.advance(12)
    bytes_equal(materialize(simple(), trajectory, 12).state(), live.state())
    live = simple()
    live.advance(10)
    run = simple()
    monkeypatch.setattr(run.optimizer, "step", None)
    bytes_equal(materialize(run, trajectory, 10, weights_only=True).weights(), live.weights())


def bytes_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        mine, theirs = (x.detach().reshape(-1).view(torch.uint8) for x in (value, other[name]))
        assert torch.equal(mine, theirs), name


@pytest.mark.parametrize("step", [33, 40])
def test_weights_of_a_restart_and_of_the_last_step_need_no_update(simple, tmp_path, monkeypatch, step):
    trajectory = Trajectory(tmp_path, simple().record(tmp_path))
    assert simple.training.restarts()[-1] == 33
    run = simple()
    monkeypatch.setattr(run.optimizer, "step", None)
    assert materialize(run, trajectory, step, weights_only=True).step == step


@pytest.mark.parametrize("step", [-1, 31])
def test_steps_off_the_path(tmp_path, simple, step):
    trajectory = Trajectory(tmp_path, RESULT)
    with pytest.raises(RecipeError, match=rf"step: {step} is not on a trajectory of 30 steps"):
        trajectory.at_or_before(step)
    with pytest.raises(RecipeError, match="not on a trajectory"):
        materialize(simple(), trajectory, step)


def test_metrics_are_a_table(tmp_path):
    trajectory = Trajectory(tmp_path, RESULT)
    assert trajectory.metrics["step"].tolist() == [0, 30]
    assert trajectory.metrics["train_loss"].isna().tolist() == [True, False]
    assert (trajectory.status, trajectory.steps) == ("completed", 30)
