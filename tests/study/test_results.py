"""Tables against the results of the jobs that they are read from."""

from __future__ import annotations

import pandas as pd
import pytest

from ungrok.study.job import Job
from ungrok.study.jobs import Evaluate, Oracle, Snapshot, Stage, Train, Unlearn
from ungrok.study.results import CONTROLS, collect, curves


@pytest.fixture(scope="module")
def results(finished):
    return collect(*finished)


def test_a_row_is_that_of_its_path_with_its_place(finished, results):
    plan, store = finished
    assert len(plan.paths) == 6
    for path in plan.paths:
        own = results.rows[(results.rows["stage"] == path.stage) & (results.rows["method"] == path.method)]
        stored = store.open(path.rows, Evaluate).result.rows
        assert own["UA"].tolist() == [row["UA"] for row in stored]
        step = store.open(plan.stages["base", 0, path.stage], Stage).result.step
        assert own[["seed", "arm", "step", "forget"]].drop_duplicates().to_numpy().tolist() == [
            [0, "base", step, path.forget]
        ]


def test_doses_of_one_shot_methods_have_no_updates(results):
    fisher = results.rows["method"] == "fisher"
    assert results.rows.loc[fisher, "updates"].isna().all()
    assert (results.rows.loc[~fisher, "updates"] == results.rows.loc[~fisher, "dose"]).all()


def test_a_transition_ends_where_training_does(finished, results):
    plan, store = finished
    (row,) = results.transitions.to_dict("records")
    last = store.open(plan.trajectories["base", 0], Train).result.rows[-1]
    assert [row[f"final_{name}_accuracy"] for name in ("train", "test")] == [
        last["train_accuracy"],
        last["test_accuracy"],
    ]
    assert row["stage_grokked"] == row["grokked_step"]


def test_an_oracle_stands_beside_the_second_one(finished, results):
    plan, store = finished
    assert results.oracles["stage"].tolist() == ["pre_grok", "grokked"]
    for row in results.oracles.to_dict("records"):
        where = ("base", 0, row["forget"], row["stage"])
        first, second = (store.open(keys[where], Oracle).result.accuracies for keys in (plan.oracles, plan.noise))
        assert (row["RA"], row["second_RA"]) == (first.RA, second.RA)


def test_curves_hold_every_evaluated_step(finished, results):
    plan, store = finished
    stored = store.open(plan.trajectories["base", 0], Train).result.rows
    assert results.curves["step"].tolist() == [row["step"] for row in stored]
    pd.testing.assert_frame_equal(curves(plan, store), results.curves)


def test_timings_give_the_seconds_of_an_update_of_trainings_and_paths(finished, results):
    plan, store = finished
    table = results.timings.set_index("key")
    assert set(table.index) == set(plan.jobs)
    (path,) = (p for p in plan.paths if (p.stage, p.method) == ("grokked", "scrub"))
    own = store.open(path.path, Unlearn)
    assert table.loc[path.path, "updates"] == own.result.updates[-1] == 20
    assert table.loc[path.path, "seconds_per_update"] == pytest.approx(own.seconds["updates"] / 20)
    assert table.loc[table["kind"].isin(["stage", "oracle", "evaluate"]), "seconds_per_update"].isna().all()
    for key in plan.jobs:
        assert table.loc[key, "processor_seconds"] == store.open(key, Job).seconds["processor"] > 0


def test_measures_after_unlearning_stand_at_the_dose_of_their_model(finished, results):
    plan, store = finished
    table = results.mechanism
    assert (table.loc[table["method"] == "", "dose"] == 0).all()
    after = next(one for one in plan.measurements if one.method == "gradient_ascent")
    dose = store.open(after.model, Snapshot).result.dose
    own = table[(table["method"] == "gradient_ascent") & (table["stage"] == after.stage)]
    assert own["dose"].drop_duplicates().tolist() == [dose] == [40]


def test_without_controls_and_splits_their_tables_are_empty(results):
    assert results.groups.empty
    assert (len(results.controls), list(results.controls)) == (0, CONTROLS)
