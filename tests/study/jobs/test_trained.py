"""What other jobs take from a finished training."""

import pytest
import torch

from ungrok.core.errors import RecipeError, UngrokError
from ungrok.data.forget import AtRandom
from ungrok.data.local import LocalGrokking
from ungrok.study.jobs import Train
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.trained import (
    Trained,
    TrainResult,
    again,
    build_run,
    forget_split,
    split_of,
    trajectory_of,
    weights_at,
)
from ungrok.study.manifest import Finished


@pytest.fixture
def trained(study):
    plan, store, _ = study
    return store.open(plan.trajectories["base", 0], Train)


def test_a_fresh_run_starts_from_the_kept_first_weights(trained):
    kept = weights_at(trained, 0)
    fresh = again(trained).model.state_dict()
    assert kept.keys() == fresh.keys()
    assert all(torch.equal(kept[name], fresh[name]) for name in kept)


def test_weights_behind_the_step_of_divergence_are_missed_in_a_sentence(trained):
    class Diverged(Finished):
        result = TrainResult(status="diverged", steps=7, rows=[], checkpoints=[0])

    with pytest.raises(UngrokError, match="the training it starts from diverged at step 7"):
        weights_at(Diverged(trained.path, trained.spec_type, trained.result_type), 150)


def test_a_trajectory_holds_what_was_recorded(trained):
    trajectory = trajectory_of(trained)
    assert (trajectory.status, trajectory.steps) == ("completed", trained.result.steps)
    assert trajectory.metrics["step"].tolist() == [row["step"] for row in trained.result.rows]


def test_a_split_by_index_is_that_of_the_rule(trained, study):
    plan, _, _ = study
    data = trained.spec.data()
    split = forget_split(data, Forget(rule=plan.recipe.forget[0], seed=3))
    again = split_of(split.forget.tolist(), data)
    assert torch.equal(again.forget, split.forget)
    assert torch.equal(again.retain, split.retain)
    assert again.classes == split.classes


def test_a_split_by_index_retains_nothing_of_earlier_requests(trained, study):
    plan, _, _ = study
    data = trained.spec.data()
    split = forget_split(data, Forget(rule=plan.recipe.forget[0], seed=3, before=(1, 2)))
    again = split_of(split.forget.tolist(), data, [part.tolist() for part in split.before])
    assert len(split.before) == 2
    assert [part.tolist() for part in again.requests] == [part.tolist() for part in split.requests]
    assert torch.equal(again.retain, split.retain)


def test_a_rule_that_looks_at_a_trajectory_is_refused_where_there_is_none(trained):
    with pytest.raises(RecipeError, match="depends on a trajectory, which weights of your own do not have"):
        forget_split(trained.spec.data(), Forget(rule=LocalGrokking(size=4), seed=0))


def test_an_oracle_of_a_random_split_that_empties_a_class_is_measured_on_those_that_are_left(trained):
    data = trained.spec.data()
    rule = AtRandom(size=len(data.train) - 20)
    for seed in range(100):
        block = Forget(rule=rule, seed=seed)
        left = data.train.targets[forget_split(data, block).retain].unique()
        if len(left) < data.classes:
            break
    spec = trained.spec.model_copy(update={"without": block})
    assert spec.measured is None  # the name of the rule does not say so
    run = build_run(spec)
    for name in ("validation", "test"):
        whole, measured = getattr(data, name).targets, getattr(run.data, name).targets
        assert torch.equal(measured, whole[torch.isin(whole, left)])
        assert 0 < len(measured) < len(whole)


def test_an_oracle_of_a_random_split_that_leaves_every_class_is_measured_on_all_of_them(trained):
    data = trained.spec.data()
    spec = trained.spec.model_copy(update={"without": Forget(rule=AtRandom(size=1), seed=0)})
    assert len(build_run(spec).data.test) == len(data.test)


def test_only_checkpoints_that_a_replay_makes_again_can_be_spared():
    files = ["result.json", *(f"step-{step:09d}.safetensors" for step in (0, 5, 10, 20))]
    assert Trained.spare(files, {}) == {"step-000000005.safetensors", "step-000000010.safetensors"}
    assert Trained.spare(files, {"given": "0" * 64}) == set()
