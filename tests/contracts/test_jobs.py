"""What every kind of job promises: its key follows from what is stored, and the same spec gives the same bytes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from ungrok.core.files import checksum
from ungrok.study import engine
from ungrok.study.jobs import KINDS
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.store import Store, Work

STUDY = Path(__file__).parents[1] / "study"
IMAGES = (
    "seeds=[0]",
    "noise_seeds=0",
    "trajectory.steps=60",
    "unlearn=[{kind: gradient_ascent, lr: 0.05, updates: 4, name: uphill}]",
    "transition={memorized: 0.4, grokked: 0.6, min_delay: 1.0}",
    "arms={sgd: {trajectory: {loss: mse}}}",
    "schemes=[{kind: sisa, shards: 2, slices: 2, name: shards}]",
    "controls={same: {kind: matched, stage: final, equal: train_loss, tolerance: 10.0}, twice: {kind: rescaled, stage: final}, half: {kind: level, of: train_accuracy, at: 0.5}}",
    "stages=[final, same, twice, half]",
    "analyze=[{kind: gradient_alignment, draws: 2, name: angles}]",
    "claims.compare=[]",
    "stress={attacks: [{kind: quantize, bits: [2]}], places: [end]}",
    "lasting={updates: 2, lr: [0.01]}",
    "requests=2",
)
TEXT = (
    "seeds=[0]",
    "noise_seeds=0",
    "forget=[{kind: local_grokking, group: grokked, size: 4, using: {by: quantile, candidate: 1}}]",
    "unlearn=[{kind: gradient_difference, lr: 1.0e-2, updates: 2}]",
    "analyze=[]",
    "claims.compare=[]",
)
EXPOSED = (
    "seeds=[0]",
    "noise_seeds=0",
    "trajectory.steps=40",
    "trajectory.exposure={within: class, swap: false}",
    "forget=[{kind: exposed, group: late, size: 4}]",
    "unlearn=[{kind: gradient_ascent, updates: 2}]",
    "stages=[final]",
    "claims.compare=[]",
)
SHADOWS = (
    "seeds=[0]",
    "noise_seeds=0",
    "trajectory.steps=20",
    "forget=[{kind: class}, {kind: memorization, size: 9}]",
    "unlearn=[{kind: gradient_ascent, updates: 2, name: uphill}]",
    "stages=[final]",
    "claims.compare=[]",
    "audit={shadows: 8}",
)
FROM_TEXT = ("split", "train with split", "oracle with split", "unlearn with split")


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Return the jobs of four small studies, and the store that holds them all."""
    store, jobs = Store(tmp_path_factory.mktemp("store")), []
    for name, overrides in (
        ("tiny.yaml", IMAGES),
        ("tiny-text.yaml", TEXT),
        ("tiny.yaml", EXPOSED),
        ("tiny.yaml", SHADOWS),
    ):
        plan = make_plan(load(str(STUDY / name), overrides))
        engine.run(list(plan.jobs.values()), store, workers=0)
        jobs += plan.jobs.values()
    return jobs, store


def one(jobs, wanted):
    kind, _, how = wanted.partition(" ")
    return next(job for job in jobs if job.kind == kind and bool(how) == ("split" in job.inputs))


@pytest.fixture(params=[*(kind for kind in KINDS if kind != "split"), *FROM_TEXT])
def job(request, studies):
    return one(studies[0], request.param) if request.param != "split" else one(studies[0], "split")


def test_the_key_follows_from_what_is_stored(job, studies):
    stored = json.loads((studies[1].folder(job.key) / "job.json").read_text())
    again = KINDS[stored["kind"]](job.spec_type.model_validate(stored["spec"]), stored["inputs"])
    assert again.key == job.key
    assert again.spec == job.spec


def test_the_result_is_read_as_it_was_returned(job, studies):
    folder = studies[1].folder(job.key)
    result = studies[1].open(job.key, type(job)).result
    assert isinstance(result, job.result_type)
    assert result.spec() == json.loads((folder / "result.json").read_text())
    assert type(result).model_validate(result.spec()) == result


def test_the_same_spec_gives_the_same_bytes(job, studies, tmp_path):
    folder = studies[1].folder(job.key)
    result = job.run(Work(studies[1], job.inputs, tmp_path))
    assert result == studies[1].open(job.key, type(job)).result
    files = {path.name for path in folder.iterdir()} - {"job.json", "result.json", "manifest.json", "timing.json"}
    left = {path.name for path in tmp_path.iterdir()}
    assert left - job.passing(left) == files
    assert {name: checksum(tmp_path / name) for name in files} == {name: checksum(folder / name) for name in files}


def test_a_job_goes_to_a_worker_and_keeps_its_key(job):
    there = pickle.loads(pickle.dumps(job))
    assert (there.key, there.label, there.spec) == (job.key, job.label, job.spec)


def test_a_kind_has_a_name_a_version_and_a_cost(job):
    assert KINDS[job.kind] is type(job)
    assert job.version >= 1
    assert job.cost > 0
    assert job.advice


def test_labels_of_methods_and_measures_are_in_no_spec(studies):
    specs = [
        job.spec.spec() for job in studies[0] if job.kind in ("unlearn", "snapshot", "analyze", "shadow_unlearned")
    ]
    assert specs
    assert not any("uphill" in json.dumps(spec) or "angles" in json.dumps(spec) for spec in specs)
