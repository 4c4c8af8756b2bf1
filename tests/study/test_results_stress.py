"""The tables of attacks and of places that last, against the results of the jobs that they are read from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ungrok.study import engine
from ungrok.study.folder import StudyFolder
from ungrok.study.jobs import Lasting, Oracle, Placed, Stress
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.results import collect
from ungrok.study.results_stress import LASTING, STRESS
from ungrok.study.run import written
from ungrok.study.store import Store

TINY = Path(__file__).with_name("tiny.yaml")
OVERRIDES = (
    "seeds=[0]", "unlearn=[{kind: gradient_ascent, lr: {auto: 0.05}, updates: 40}, {kind: fisher, alpha: [1.0e-3]}]",
    "stress={attacks: [{kind: relearn, name: again, shares: [0, 0.2], lr: 0.02, updates: 2, observe: [2]}, {kind: interpolate, parts: 2}], places: [0.1]}",
    "lasting={updates: 3, lr: 0.02, rates: all}",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return plan and store of a study of one seed that asks whether forgetting lasts."""
    plan, store = make_plan(load(str(TINY), OVERRIDES)), Store(tmp_path_factory.mktemp("store"))
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store


@pytest.fixture(scope="module")
def results(made):
    return collect(*made)


def test_a_row_is_that_of_its_attack_with_its_place(made, results):
    plan, store = made
    table = results.stress
    assert list(table) == STRESS
    assert len(table) == len(plan.stress) * (2 * 2 + 3) / 2 == 2 * 5 * (4 + 3)
    for one in plan.stress:
        same = (table["stage"] == one.stage) & (table["subject"] == one.subject) & (table["attack"] == one.attack)
        own = table[same & (table["method"].fillna("") == (one.method or ""))]
        stored = store.open(one.rows, Stress).result.rows
        for name in ("UA", "forget_loss", "dose", "setting", "barrier_forget"):
            assert own[name].replace({float("nan"): None}).tolist() == [row[name] for row in stored]
        if one.place is None:
            assert own[["method", "place", "place_dose", "place_updates"]].isna().all(axis=None)
        else:
            place = store.open(one.model, Placed).result
            assert own["place"].unique().tolist() == ["0.1"]
            assert own["place_dose"].unique().tolist() == [place.dose]
            assert own["place_updates"].isna().all() == (one.method == "fisher")


def test_the_label_of_an_attack_is_that_of_the_recipe(results):
    assert results.stress.groupby("attack")["kind"].unique().map(list).to_dict() == {
        "again": ["relearn"],
        "interpolate_original": ["interpolate"],
    }
    assert results.stress.groupby("attack")["dose_name"].unique().map(list).to_dict() == {
        "again": ["updates"],
        "interpolate_original": ["t"],
    }


def test_a_tried_place_stands_beside_its_oracle(made, results):
    plan, store = made
    table = results.lasting
    assert list(table) == LASTING
    assert "gradient_ascent lr=0.1" in set(table["method"])
    for one in plan.lasting:
        own = table[(table["stage"] == one.stage) & (table["method"] == one.method)]
        result = store.open(one.rows, Lasting).result
        assert own["UA_after"].tolist() == [row["UA_after"] for row in result.rows]
        assert own["budget"].unique().tolist() == [result.budget]
        oracle = store.open(plan.oracles["base", 0, "class", one.stage], Oracle).result.accuracies
        assert own["oracle_TA"].unique().tolist() == [oracle.TA]
        assert own["oracle_UA"].unique().tolist() == [oracle.UA]


def test_a_study_writes_them_and_reads_them_back(made, results, tmp_path):
    plan, store = made
    written(tmp_path / "study", plan, store, 0, None)
    read = StudyFolder.open(tmp_path / "study", store.root).results
    for name in ("stress", "lasting"):
        pd.testing.assert_frame_equal(getattr(read, name), getattr(results, name))
        assert (tmp_path / "study" / f"{name}.csv").exists()
        assert len(getattr(read, name)) > 0


def test_a_study_without_them_writes_none_and_has_their_columns(finished, tmp_path):
    plan, store = finished
    written(tmp_path / "study", plan, store, 0, None)
    assert not list((tmp_path / "study").glob("stress.*"))
    assert not list((tmp_path / "study").glob("lasting.*"))
    read = StudyFolder.open(tmp_path / "study", store.root).results
    assert (list(read.stress), list(read.lasting)) == (STRESS, LASTING)
    assert read.stress.empty
    assert read.lasting.empty
