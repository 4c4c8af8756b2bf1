"""What trackers are given of a study."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ungrok.core.errors import RecipeError, UngrokError
from ungrok.integrations.trackers import TRACKERS
from ungrok.report.tracking import track, tracked, training, unlearning
from ungrok.study.folder import StudyFolder
from ungrok.study.store import Store


@pytest.fixture
def folder(study, tmp_path):
    """Return a study of two seeds and two methods, one of them without updates, which has no report yet."""
    own = study(seeds=[0, 1], unlearn=[{"kind": "gradient_ascent"}, {"kind": "fisher"}])
    made = StudyFolder(tmp_path / "run", own.recipe, {}, Store(tmp_path / "store"))
    made.results = own.results
    (made.path / "report").mkdir(parents=True)
    claims = [{"claim": "efficiency", "verdict": "supported", "text": "Fewer updates."}]
    (made.path / "report" / "answers.json").write_text(json.dumps({"claims": claims}))
    return made


def test_curves_are_series_over_steps(folder):
    curves = folder.results.curves
    found = dict(training(curves))
    assert list(found) == [("base", 0), ("base", 1)]
    own = found["base", 1]
    rows = curves[curves["seed"] == 1]
    assert (own.kind, own.place, own.axis) == ("training", (), "step")
    assert own.steps.tolist() == [0, 10, 50, 100, 200, 400, 1000]
    assert set(own.metrics) == set(curves) - {"arm", "seed", "step"}
    np.testing.assert_array_equal(own.metrics["train_loss"], rows["train_loss"])


def test_paths_are_series_over_updates_or_places(folder):
    found = {(key, own.place): own for key, own in unlearning(folder.results.rows)}
    assert len(found) == 2 * 2 * 2
    own = found[("base", 1), ("pre_grok", "class", "gradient_ascent")]
    assert (own.axis, own.steps.tolist()) == ("updates", [0, 1, 11, 50, 100])
    assert own.metrics["UA"].tolist() == [1, 1, 0, 0, 0]
    shot = found[("base", 1), ("grokked", "class", "fisher")]
    assert (shot.axis, shot.steps.tolist()) == ("place", [0, 1, 2, 3, 4])
    assert shot.metrics["dose"].tolist() == [0, 1, 31, 50, 100]


def test_paths_have_numbers_that_change(folder):
    for _, own in unlearning(folder.results.rows):
        assert set(own.metrics) - {"dose"} == {
            "UA", "RA", "TA", "bystander_accuracy", "validation_accuracy", "moved_retain", "membership_auc", "oracle_gap",
        }  # fmt: skip


def test_of_several_draws_the_first_is_taken(folder):
    rows = folder.results.rows
    second = rows.assign(draw=1, UA=0.5)
    both = pd.concat([rows.assign(draw=0), second], ignore_index=True)
    alone, first = list(unlearning(rows)), list(unlearning(both))
    assert [key for key, _ in first] == [key for key, _ in alone]
    np.testing.assert_array_equal(first[0][1].metrics["UA"], alone[0][1].metrics["UA"])


def test_a_study_is_one_run_per_arm_and_seed(folder):
    content = tracked(folder)
    assert [run.name for run in content.runs] == ["base/seed-0", "base/seed-1"]
    assert [len(run.series) for run in content.runs] == [5, 5]
    assert content.answers == {"efficiency": ("supported", "Fewer updates.")}
    assert (content.name, content.key) == ("by-hand", folder.recipe.hash)
    assert content.recipe["trajectory"]["steps"] == 1000


def test_trackers_are_given_the_study_and_its_folder(folder, monkeypatch):
    given, said = [], []
    monkeypatch.setattr("ungrok.report.tracking.check_tracker", lambda name: None)
    monkeypatch.setitem(TRACKERS, "mlflow", lambda study, where: given.append((study.name, where)) or "there")
    track(folder, ["mlflow"], said.append)
    assert given == [("by-hand", folder.path / "track")]
    assert said == ["tracked: there"]


def test_what_a_tracker_raises_is_one_sentence_that_says_what_to_do(folder, monkeypatch):
    def refuse(study, where):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("ungrok.report.tracking.check_tracker", lambda name: None)
    monkeypatch.setitem(TRACKERS, "mlflow", refuse)
    with pytest.raises(
        UngrokError, match=r"--track mlflow: no route; the study is finished, and `ungrok report .*` tries"
    ):
        track(folder, ["mlflow"], print)


def test_nothing_is_written_before_all_trackers_are_known(folder):
    pytest.importorskip("tensorboard")
    with pytest.raises(RecipeError, match="--track: 'tensorbord' is not known"):
        track(folder, ["tensorboard", "tensorbord"], print)
    assert not (folder.path / "track").exists()
