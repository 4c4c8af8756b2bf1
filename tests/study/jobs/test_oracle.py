"""An oracle records its own accuracies, and tables read them there."""

import pandas as pd
import pytest

from ungrok.data import TensorBatches
from ungrok.study.jobs import Oracle, Stage
from ungrok.study.jobs.oracle import OracleAccuracies
from ungrok.study.jobs.stage import StageSpec
from ungrok.study.jobs.trained import build_run, forget_split
from ungrok.study.store import Work
from ungrok.train import TransitionRule


@pytest.fixture
def oracle(study):
    plan, store, _ = study
    return store.open(plan.oracles["base", 0, "class", "grokked"], Oracle)


def test_accuracies_are_those_of_the_kept_model(study, oracle, opened):
    run = build_run(opened("base", "grokked").result.training)
    run.model.load_state_dict(oracle.tensors("model.safetensors"))
    split = forget_split(run.data, oracle.spec.forget)
    data = run.data

    def accuracy(part):
        return run.objective.score(run.model, TensorBatches(part)).accuracy

    touched = data.test.targets == split.classes[0]
    assert oracle.result.accuracies == OracleAccuracies(
        UA=accuracy(data.train.of(split.forget)),
        RA=accuracy(data.train.of(split.retain)),
        TA=accuracy(data.test),
        bystander_accuracy=accuracy(data.test.of(~touched)),
        validation_accuracy=accuracy(data.validation),
    )
    assert oracle.result.accuracies.UA == 0  # a class that it never saw


def test_the_table_reads_them_without_loading_data(study, oracle, monkeypatch):
    from ungrok.study import results

    plan, store, before = study
    monkeypatch.setattr("ungrok.study.problem_data.load_data", lambda _: pytest.fail("data were loaded"))
    monkeypatch.setattr("ungrok.study.jobs.trained.load_data", lambda _: pytest.fail("data were loaded"))
    table = results.collect(plan, store).oracles
    pd.testing.assert_frame_equal(table, before.oracles)
    row = table[(table["arm"] == "base") & (table["stage"] == "grokked")].iloc[0]
    assert {name: row[name] for name in OracleAccuracies.model_fields} == oracle.result.accuracies.to_dict()


def test_without_a_stage_there_is_no_oracle_and_no_accuracy(study, tmp_path):
    plan, store, _ = study
    store.prepare()
    rule = TransitionRule(memorized=0.999, grokked=0.9999)
    stage = Stage(StageSpec(stage="grokked", transition=rule), {"trajectory": plan.trajectories["base", 0]})
    from ungrok.study.executing import execute

    execute(store, stage)
    job = plan.job(plan.oracles["base", 0, "class", "grokked"], Oracle)
    result = job.run(Work(store, job.inputs | {"stage": stage.key}, tmp_path))
    assert result.step is None
    assert result.reason
    assert set(result.accuracies.to_dict().values()) == {None}


def test_version_1_did_not_hold_the_forget_split(study):
    plan, _, _ = study
    job = plan.job(plan.oracles["base", 0, "class", "grokked"], Oracle)
    assert [(kind, version, spec) for kind, version, spec, _ in job.earlier()] == [("oracle", 1, {})]
