"""Matched checkpoints in a study: made where they should be, used like any stage, and never silently off."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.data import TensorBatches
from ungrok.study import outputs
from ungrok.study.jobs import Train, Unlearn
from ungrok.study.jobs.trained import build_run, trajectory_of
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.results import CONTROLS
from ungrok.train import materialize

TINY = Path(__file__).parents[1] / "tiny.yaml"
RESCALED = "controls.louder={kind: rescaled, stage: grokked, factor: 4}"


def test_each_arm_has_its_own_stages(controlled):
    plan = make_plan(controlled())
    assert {(arm, stage) for arm, _, stage in plan.stages} == {
        ("base", "pre_grok"), ("base", "grokked"), ("base", "louder"),
        ("wide", "final"), ("wide", "as-long"), ("wide", "as-accurate"), ("wide", "impossible"),
    }  # fmt: skip


def test_no_controls_no_change():
    bare = load(str(TINY))
    assert bare.hash == load(str(TINY), ["controls={}"]).hash
    assert set(make_plan(bare).jobs) == set(make_plan(load(str(TINY), [RESCALED])).jobs)


def test_matched_models_are_those_of_their_step(study, opened, model_of):
    plan, store, _ = study
    matched = opened("wide", "as-accurate")
    source = store.open(plan.trajectories["wide", 0], Train)
    run = materialize(build_run(source.spec), trajectory_of(source), matched.result.step)
    stored = model_of(matched).model.state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in run.model.state_dict().items())
    accuracy = run.objective.score(run.model, TensorBatches(run.data.test)).accuracy
    assert matched.result.match.found == pytest.approx(accuracy)
    base = model_of(opened("base", "grokked"))
    wanted = base.objective.score(base.model, TensorBatches(base.data.test)).accuracy
    assert matched.result.match.wanted == pytest.approx(wanted)
    assert matched.result.match.mismatch == pytest.approx(accuracy - wanted)


def test_the_same_number_of_updates(study, opened):
    assert opened("wide", "as-long").result.step == opened("base", "grokked").result.step


def test_beyond_the_tolerance_there_is_no_model_no_path_and_a_reason(study, opened):
    _, _, results = study
    matched = opened("wide", "impossible")
    assert matched.result.step is None
    assert "weight_norm is off by" in matched.result.reason
    assert not (matched.path / "model.safetensors").exists()
    assert not (results.rows["stage"] == "impossible").any()


def test_every_arm_unlearns_and_is_measured_by_the_loss_of_the_base_arm(study, opened, model_of):
    plan, store, results = study
    losses = {(c.arm, own.loss if (own := plan.jobs[c.path].spec.objective) else None) for c in plan.paths}
    assert losses == {("base", None), ("wide", "cross_entropy")}
    assert {plan.jobs[k.rows].spec.objective.loss for k in plan.measurements if k.arm == "wide"} == {"cross_entropy"}
    run = model_of(opened("wide", "as-long"))
    assert run.objective.loss == "mse"
    cell = next(c for c in plan.paths if (c.arm, c.stage) == ("wide", "as-long"))
    forget = store.open(cell.path, Unlearn).tensors("path.safetensors")["forget"]
    part = run.data.train.of(forget)
    with torch.no_grad():
        expected = torch.nn.functional.cross_entropy(run.model(part.inputs), part.targets).item()
    rows = results.rows[
        (results.rows["arm"] == "wide") & (results.rows["stage"] == "as-long") & (results.rows["dose"] == 0)
    ]
    assert rows["forget_loss"].tolist() == pytest.approx([expected] * 3, rel=1e-5)


def test_what_is_left_of_the_mismatch_is_in_a_table(study, tmp_path):
    plan, _, results = study
    table = results.controls.set_index("stage")
    assert list(results.controls) == CONTROLS
    assert table.loc["as-long", ["equal", "to", "tolerance", "mismatch"]].tolist() == ["updates", "grokked", 0, 0]
    assert table.loc["louder", "equal"] == "function"
    assert table.loc["louder", "mismatch"] == 0
    assert table.loc["louder", "found"] > table.loc["louder", "wanted"]
    assert abs(table.loc["impossible", "mismatch"]) > 0.001
    assert pd.isna(table.loc["impossible", "step"])
    outputs.write_tables(tmp_path, plan, results, [], {})
    assert pd.read_csv(tmp_path / "controls.csv")["stage"].tolist() == results.controls["stage"].tolist()


@pytest.mark.parametrize("name", ["model", "oracle", "before", "reference", "split"])
def test_names_of_what_measures_are_given_are_taken(name):
    with pytest.raises(RecipeError, match=f"controls: '{name}' is a name that analyses use for their inputs"):
        load(str(TINY), [f"controls={{{name}: {{kind: rescaled, stage: grokked, factor: 2}}}}"])
