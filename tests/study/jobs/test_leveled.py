"""A stage by level in a study: the model of the first step that reaches it, or none and the reason."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from ungrok.report.tables.controls import controls
from ungrok.report.tables.warnings import warnings
from ungrok.report.view import View
from ungrok.study import engine
from ungrok.study.jobs import Checkpoint, Train
from ungrok.study.jobs.trained import build_run, trajectory_of
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.results import collect
from ungrok.study.store import Store
from ungrok.train import materialize

TINY = Path(__file__).parents[1] / "tiny.yaml"
STAGES = (
    "{kind: level, of: train_accuracy, at: 0.6, name: early}, {kind: level, of: train_loss, at: 0.6, sustained: true, "
    "name: low}, {kind: level, of: validation_accuracy, at: 1.0, name: never}"
)


@pytest.fixture(scope="module")
def leveled(tmp_path_factory):
    recipe = load(
        str(TINY), ["seeds=[0]", "noise_seeds=0", f"stages=[{STAGES}, final]", "claims.compare=[[early, final]]"]
    )
    store, plan = Store(tmp_path_factory.mktemp("store")), make_plan(recipe)
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store


def opened(leveled, stage):
    plan, store = leveled
    return store.open(plan.stages["base", 0, stage], Checkpoint)


@pytest.fixture(scope="module")
def trajectory(leveled):
    plan, store = leveled
    return trajectory_of(store.open(plan.trajectories["base", 0], Train))


@pytest.mark.parametrize(("stage", "of", "times"), [("early", "train_accuracy", 1), ("low", "train_loss", 3)])
def test_it_is_the_first_step_at_the_level(leveled, trajectory, stage, of, times):
    rows = trajectory.metrics.to_dict("records")
    good = [row[of] >= 0.6 if of == "train_accuracy" else row[of] <= 0.6 for row in rows]
    first = next(n for n in range(len(rows)) if len(good[n : n + times]) == times and all(good[n : n + times]))
    result = opened(leveled, stage).result
    assert first > 0
    assert result.step == rows[first]["step"]
    assert result.reached.after == rows[first - 1]["step"]
    assert result.reached.value == rows[first][of]


def test_the_model_is_that_of_its_step(leveled, trajectory):
    plan, store = leveled
    made = opened(leveled, "early")
    run = materialize(build_run(store.open(plan.trajectories["base", 0], Train).spec), trajectory, made.result.step)
    stored = made.tensors("model.safetensors")
    assert stored
    assert all(torch.equal(run.model.state_dict()[name], value) for name, value in stored.items())
    assert run.measure()["train_accuracy"] == made.result.reached.value


def test_a_level_that_is_never_reached_has_no_model_no_path_and_a_reason(leveled, trajectory):
    plan, store = leveled
    made, best = opened(leveled, "never"), trajectory.metrics["validation_accuracy"].max()
    assert made.result.step is None
    assert made.result.reached is None
    assert made.result.reason == f"validation_accuracy did not reach 1 (highest: {best:.3g})"
    assert not (made.path / "model.safetensors").exists()
    rows = collect(plan, store).rows
    assert set(rows["stage"]) == {"early", "low", "final"}


def test_the_report_says_how_far_beyond_the_level_the_step_is(leveled):
    plan, store = leveled
    results = collect(plan, store)
    table = results.controls.set_index("stage")
    value = opened(leveled, "early").result.reached.value
    assert table.loc["early", ["equal", "to", "wanted", "found"]].tolist() == ["train_accuracy", "level", 0.6, value]
    assert table.loc["early", "mismatch"] == pytest.approx(value - 0.6)
    low = opened(leveled, "low").result.reached.value
    assert table.loc["low", "mismatch"] == pytest.approx(low / 0.6 - 1)
    assert pd.isna(table.loc["never", "found"])
    view = View(plan, results, [], {})
    (shown,) = controls(view)
    assert [row[0] for row in shown.rows] == ["early", "low", "never"]
    assert [row[4] for row in shown.rows] == ["1 of 1", "1 of 1", "0 of 1"]
    assert any(
        "“never” is missing in 1 of 1 seed (validation accuracy did not reach 1" in said for said in warnings(view)
    )
