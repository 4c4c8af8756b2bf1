"""Weights of one's own give what the stage with the same weights gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors, save_tensors
from ungrok.core.weights import kept
from ungrok.study import single
from ungrok.study.jobs import Analyze, Evaluate, Snapshot
from ungrok.study.jobs.trained import fresh_model
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
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


def test_a_file_of_tied_weights_may_hold_them_once_or_twice(tmp_path):
    plan = make_plan(load(str(Path(__file__).with_name("tiny-text.yaml")), ["base=null"]))
    training = single._training(plan, "base", 0)
    model = fresh_model(training, 5)
    once, twice = tmp_path / "once.safetensors", tmp_path / "twice.safetensors"
    save_tensors(once, kept(model))
    save_tensors(twice, dict(model.state_dict()))
    assert len(load_tensors(once)) == len(load_tensors(twice)) - 1
    for file in (once, twice):
        weights = single._weights(training, file, "--model")
        assert weights.keys() == model.state_dict().keys()
        assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_a_file_that_cannot_be_read_is_named_by_its_option(finished, measurement, mine, tmp_path):
    with pytest.raises(RecipeError, match=r"--reference: '.*gone' cannot be read as safetensors"):
        analyze_file(finished[0], measurement, mine, tmp_path / "gone")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.floats(0, 1), st.integers(0, 60), st.binary(max_size=8), st.booleans())
def test_a_mutated_file_is_read_as_it_is_or_refused_by_name(finished, tmp_path_factory, place, cut, added, early):
    plan, store = finished
    content = (store.folder(plan.stages["base", 0, "grokked"]) / "model.safetensors").read_bytes()
    start = int(place * (600 if early else len(content)))  # its names and shapes stand in the first bytes
    file = tmp_path_factory.mktemp("mutated") / "w.safetensors"
    file.write_bytes(content[:start] + added + content[start + cut :])
    try:
        weights, refusal = single._weights(single._training(plan, "base", 0), file, "--model"), ""
    except RecipeError as error:
        weights, refusal = None, str(error)
    if weights is None:
        assert refusal.startswith("--model: ")
        assert file.name in refusal
    else:
        held = load_tensors(file)
        assert all(torch.equal(value.nan_to_num(), held[name].nan_to_num()) for name, value in weights.items())
