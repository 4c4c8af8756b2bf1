"""Rows and audits of a path, from its scores and its oracle's."""

import pytest

from ungrok.study.jobs import Evaluate, Oracle
from ungrok.study.jobs.evaluate import EvaluateSpec
from ungrok.study.store import Work


def rows_of(study, stage="grokked", arm="base"):
    plan, store, _ = study
    path = next(p for p in plan.paths if (p.arm, p.stage, p.method) == (arm, stage, "scrub"))
    return path, plan.job(path.rows, Evaluate), store.open(path.rows, Evaluate).result


def test_rows_stand_beside_what_the_oracle_recorded(study):
    plan, store, _ = study
    path, _, result = rows_of(study)
    oracle = store.open(plan.oracles[path.arm, path.seed, path.forget, path.stage], Oracle).result.accuracies
    assert len(result.audits) == 1
    assert {(row["oracle_UA"], row["oracle_RA"], row["oracle_TA"]) for row in result.rows} == {
        (oracle.UA, oracle.RA, oracle.TA)
    }


def test_without_an_oracle_nothing_is_compared_with_it(study, tmp_path):
    _, store, _ = study
    _, job, before = rows_of(study)
    inputs = {"path": job.inputs["path"]}
    result = Evaluate(EvaluateSpec(targets=[0.5, "oracle"])).run(Work(store, inputs, tmp_path))
    assert {row["oracle_gap"] for row in result.rows} == {None}
    assert {row["reached_oracle"] for row in result.rows} == {None}
    assert [row["UA"] for row in result.rows] == [row["UA"] for row in before.rows]


def test_an_end_may_be_left_without_an_audit(study, tmp_path):
    _, job, before = rows_of(study)
    spec = job.spec.model_copy(update={"audit": False})
    result = Evaluate(spec, job.inputs).run(Work(study[1], job.inputs, tmp_path))
    assert (result.rows, result.audits) == (before.rows, [])
    assert "audit" not in job.spec.spec()
    assert spec.spec() == job.spec.spec() | {"audit": False}


def test_where_there_is_no_path_there_are_no_rows(study):
    _, _, result = rows_of(study, "impossible", "wide")
    assert (result.rows, result.audits) == ([], [])


@pytest.mark.parametrize("targets", [[0.1, "oracle"], [0.0]])
def test_targets_are_stored_as_they_are(targets):
    assert EvaluateSpec(targets=targets).spec() == {"targets": targets}
