"""A recorded path and where on it a model can be had."""

import pytest

from ungrok.core.errors import RecipeError
from ungrok.train import Trajectory, materialize

RESULT = {
    "status": "completed",
    "steps": 30,
    "checkpoints": [0, 10, 20, 30],
    "rows": [{"step": 0, "train_loss": None}, {"step": 30, "train_loss": 0.5}],
}


@pytest.mark.parametrize(("step", "kept"), [(0, 0), (9, 0), (10, 10), (11, 10), (30, 30)])
def test_nearest_earlier_checkpoint(tmp_path, step, kept):
    assert Trajectory(tmp_path, RESULT).at_or_before(step) == kept


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
