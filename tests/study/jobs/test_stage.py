"""The model of a stage is that of its step."""

import torch

from ungrok.study.jobs import Stage, Train
from ungrok.study.jobs.stage import StageSpec
from ungrok.study.jobs.trained import again, trajectory_of
from ungrok.study.store import Work
from ungrok.train import TransitionRule, materialize


def test_the_model_stands_at_the_step_of_the_stage(study, opened):
    plan, store, results = study
    kept = opened("base", "grokked")
    source = store.open(plan.trajectories["base", 0], Train)
    (row,) = results.transitions[results.transitions["arm"] == "base"].to_dict("records")
    assert kept.result.step == row["grokked_step"] == row["stage_grokked"]
    run = materialize(again(source), trajectory_of(source), kept.result.step)
    stored = kept.tensors("model.safetensors")
    assert all(torch.equal(value, stored[name]) for name, value in run.model.state_dict().items())
    assert kept.result.training == source.spec


def test_without_a_transition_there_is_a_reason_and_no_model(study, tmp_path):
    plan, store, _ = study
    spec = StageSpec(stage="grokked", transition=TransitionRule(memorized=0.999, grokked=0.9999))
    result = Stage(spec).run(Work(store, {"trajectory": plan.trajectories["base", 0]}, tmp_path))
    assert result.step is None
    assert result.reason
    assert list(tmp_path.iterdir()) == []
