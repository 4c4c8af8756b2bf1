"""Weights of one's own give what the stage with the same weights gives."""

from __future__ import annotations

import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors, save_tensors
from ungrok.study.jobs import Analyze, Evaluate, Snapshot
from ungrok.study.single import analyze_file, unlearn_file


@pytest.fixture
def mine(finished):
    """Return the file of the grokked stage's weights."""
    plan, store = finished
    return store.folder(plan.stages["base", 0, "grokked"]) / "model.safetensors"


@pytest.fixture
def path(finished):
    (own,) = (p for p in finished[0].paths if (p.stage, p.method) == ("grokked", "scrub"))
    return own


@pytest.fixture
def measurement(finished):
    (own,) = (m for m in finished[0].measurements if (m.stage, m.method) == ("grokked", ""))
    return own


def test_a_path_from_a_file_is_that_from_the_stage(finished, path, mine):
    plan, store = finished
    rows, end = unlearn_file(plan, path, mine)
    stored = store.open(path.rows, Evaluate).result.rows
    for name in ("dose", "UA", "RA", "TA"):
        assert [row[name] for row in rows] == [row[name] for row in stored]
    assert {row["oracle_gap"] for row in rows} == {None}
    snapshot = next(m.model for m in plan.measurements if (m.stage, m.method) == ("grokked", "scrub"))
    kept = store.open(snapshot, Snapshot).tensors("model.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in end.state_dict().items())


def test_a_measure_of_a_file_is_that_of_the_stage(finished, measurement, mine):
    plan, store = finished
    stored = store.open(measurement.rows, Analyze).result.rows
    rows = analyze_file(plan, measurement, mine)
    norms = [row for row in stored if row["measure"] == "weight_norm"]
    assert [row for row in rows if row["measure"] == "weight_norm"] == norms != []
    changes = [r["value"] for r in analyze_file(plan, measurement, mine, mine) if r["measure"] == "weight_change"]
    assert set(changes) == {0.0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop(next(iter(w))), r"--model: '.*other\.safetensors' is not whole; it lacks "),
        (lambda w: w.update(extra=torch.zeros(1)), r"has extra, which the recipe's model does not have"),
        (lambda w: w.update({k: v[:1] for k, v in w.items()}), r"does not hold the recipe's model: .* has shape \(1,"),
    ],
    ids=["lacking", "unknown", "shape"],
)
def test_weights_of_another_model_are_refused(finished, path, mine, tmp_path, change, words):
    content, file = dict(load_tensors(mine)), tmp_path / "other.safetensors"
    change(content)
    save_tensors(file, content)
    with pytest.raises(RecipeError, match=words):
        unlearn_file(finished[0], path, file)


def test_a_file_that_cannot_be_read_is_named_by_its_option(finished, measurement, mine, tmp_path):
    with pytest.raises(RecipeError, match=r"--reference: '.*gone' cannot be read as safetensors"):
        analyze_file(finished[0], measurement, mine, tmp_path / "gone")
