"""Analyses in a study: planned at every stage and after every path, measured on the very models of the study."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from ungrok.analyze import ANALYSES, Subject
from ungrok.core.errors import RecipeError
from ungrok.core.seeds import derive
from ungrok.data import TensorBatches
from ungrok.data.base import Split
from ungrok.study import engine, outputs
from ungrok.study.jobs import Analyze, Checkpoint, analyze
from ungrok.study.jobs.checkpoint import weights_of
from ungrok.study.jobs.trained import build_run
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.preflight import preflight
from ungrok.study.results import MECHANISM, collect
from ungrok.study.store import Store, Work

TINY = Path(__file__).parents[1] / "tiny.yaml"
ANALYZE = [
    "{kind: gradient_alignment, examples: 60, draws: 5, layers: false, after: false}",
    "{kind: cka, examples: 40, draws: 2, layers: false}",
    "{kind: weight_norm, name: norm}",
    "{kind: local_complexity, examples: 20, directions: 4, draws: 5}",
]


def tiny(analyze=ANALYZE, *more):
    return load(str(TINY), [f"analyze=[{', '.join(analyze)}]", "seeds=[0]", "noise_seeds=0", *more])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    store, plan = Store(tmp_path_factory.mktemp("store")), make_plan(tiny())
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store, collect(plan, store)


def test_no_analyses_no_change():
    """The key is new: recipes without it keep their hash, and with it no other job changes."""
    bare = load(str(TINY))
    assert "analyze" in bare.to_dict()
    assert bare.hash == load(str(TINY), ["analyze=[]"]).hash
    assert tiny().hash != tiny([]).hash
    before, after = make_plan(tiny([])).jobs, make_plan(tiny()).jobs
    assert set(before) < set(after)
    assert {after[key].kind for key in after.keys() - before.keys()} == {"snapshot", "analyze"}


def test_where_analyses_are_planned():
    plan = make_plan(tiny())
    stages, paths = 2, 2 * 3
    assert len([measurement for measurement in plan.measurements if not measurement.method]) == 4 * stages
    assert len([measurement for measurement in plan.measurements if measurement.method]) == 3 * paths
    assert not [
        measurement
        for measurement in plan.measurements
        if measurement.method and measurement.analysis == "gradient_alignment"
    ]
    roles = {(k.stage, k.method): sorted(plan.jobs[k.rows].inputs) for k in plan.measurements if k.analysis == "cka"}
    assert roles["pre_grok", ""] == ["model", "oracle"]
    assert roles["grokked", ""] == ["model", "oracle", "pre_grok"]
    assert roles["grokked", "scrub"] == ["before", "model", "oracle"]
    alone = [sorted(plan.jobs[k.rows].inputs) for k in plan.measurements if k.analysis == "local_complexity"]
    assert alone == [["model"]] * (stages + paths)


def test_steps_along_the_trajectory_are_analyzed_before_unlearning():
    plan = make_plan(tiny(ANALYZE, "along={unlearn: gradient_ascent, forget: class, points: 3, seeds: 1}"))
    measurements = [measurement for measurement in plan.measurements if measurement.stage.startswith("step-")]
    assert {measurement.method for measurement in measurements} == {""}
    assert len(measurements) == 4 * 3


def test_names_and_settings_that_do_not_change_the_numbers_do_not_change_the_jobs():
    keys = [
        {
            job.key
            for job in make_plan(tiny([entry])).jobs.values()
            if job.kind == "analyze" and "after" not in job.label
        }
        for entry in ("{kind: weight_norm}", "{kind: weight_norm, name: norm}", "{kind: weight_norm, after: false}")
    ]
    assert keys[0] == keys[1] == keys[2]


def rebuilt(plan, store, measurement):
    training = plan.jobs[plan.trajectories[measurement.arm, measurement.seed]].spec
    run = build_run(training)
    run.model.load_state_dict(store.open(measurement.model, Checkpoint).tensors("model.safetensors"))
    return run


def test_rows_are_those_of_the_stored_model(study):
    plan, store, results = study
    table = results.mechanism
    assert list(table) == MECHANISM
    measurement = next(
        k
        for k in plan.measurements
        if k.stage == "grokked" and k.method == "scrub" and k.analysis == "local_complexity"
    )
    run, recipe = rebuilt(plan, store, measurement), plan.recipe
    split = recipe.forget[0].split(recipe.problem.load(), derive(0, "forget"))
    parts = {
        "forget": run.data.train.of(split.forget),
        "retain": run.data.train.of(split.retain),
        "test": run.data.test,
    }
    sets = {role: TensorBatches(part) for role, part in parts.items()}
    analysis = ANALYSES.get("local_complexity")(examples=20, directions=4, draws=5)
    expected = analysis.measure(Subject(run.model, run.objective, sets, {}, derive(0, "analysis")))
    own = table[(table.stage == "grokked") & (table.method == "scrub") & (table.analysis == "local_complexity")]
    wanted = pd.DataFrame([row for reading in expected for row in reading.rows()])
    assert own.value.tolist() == wanted.value.tolist()
    assert own.null.tolist() == wanted.null.tolist()


def test_models_after_unlearning_stand_at_the_matched_dose(study):
    """The same updates as the path that was observed: equal scores at equal dose."""
    plan, store, results = study
    doses = {method: matched for method, (_, matched) in outputs.doses_of(plan, store).items()}
    measurements = [k for k in plan.measurements if k.method and k.analysis == "norm"]
    assert len(measurements) == len(plan.paths)
    for measurement in measurements:
        run = rebuilt(plan, store, measurement)
        accuracy = run.objective.score(run.model, TensorBatches(run.data.test)).accuracy
        rows = results.rows[(results.rows.stage == measurement.stage) & (results.rows.method == measurement.method)]
        at = rows[rows.dose == doses[measurement.method]]
        assert at.TA.tolist() == [accuracy]
        shown = results.mechanism[
            (results.mechanism.stage == measurement.stage) & (results.mechanism.method == measurement.method)
        ]
        assert set(shown.dose) == {doses[measurement.method]}


def test_change_of_weights_is_measured_from_the_stage(study):
    plan, store, results = study
    measurement = next(
        k for k in plan.measurements if k.stage == "pre_grok" and k.method == "scrub" and k.analysis == "norm"
    )
    after = rebuilt(plan, store, measurement).model
    before = store.open(plan.stages["base", 0, "pre_grok"], Checkpoint).tensors("model.safetensors")
    change = torch.stack([(p.double() - before[n].double()).square().sum() for n, p in after.named_parameters()]).sum()
    table = results.mechanism
    own = table[(table.stage == "pre_grok") & (table.method == "scrub") & (table.layer == "model")]
    change_stored = own[(own.measure == "weight_change") & (own.on == "before")].value.item()
    assert change_stored == pytest.approx(change.sqrt().item(), rel=1e-9)


def test_the_table_is_written(study, tmp_path):
    plan, _, results = study
    outputs.write_tables(tmp_path, plan, results, [], {})
    read = pd.read_parquet(tmp_path / "mechanism.parquet")
    pd.testing.assert_frame_equal(read, results.mechanism)
    assert (tmp_path / "mechanism.csv").read_text().startswith(",".join(MECHANISM))


@pytest.fixture
def passes(monkeypatch):
    """Return the sets that are scored from now on, in a process that has measured nothing yet."""
    made, score = [], Split.score
    monkeypatch.setattr(analyze, "_finite", {})
    monkeypatch.setattr(
        Split, "score", lambda part, *args, **more: made.append(len(part)) or score(part, *args, **more)
    )
    return made


def test_several_measures_of_one_model_ask_once_whether_it_has_diverged(study, passes, tmp_path):
    plan, store, _ = study
    stage = plan.stages["base", 0, "grokked"]
    same = [job for job in plan.jobs.values() if job.kind == "analyze" and job.inputs == {"model": stage}]
    assert [job.spec.analyze.kind for job in same] == ["gradient_alignment", "local_complexity"]
    for job in same:
        assert job.run(Work(store, job.inputs, tmp_path)) == store.open(job.key, Analyze).result
    assert passes == [120]


def test_a_model_that_has_diverged_is_not_measured(study, passes):
    plan, store, _ = study
    stage = store.open(plan.stages["base", 0, "grokked"], Checkpoint)
    spec = next(job.spec for job in plan.jobs.values() if job.kind == "analyze")
    weights = {name: torch.full_like(value, torch.inf) for name, value in weights_of(stage).items()}
    for keys, scored in (({"model": "a"}, 1), ({"model": "a"}, 1), ({"model": "b"}, 2), ({}, 3), ({}, 4)):
        made = analyze.measure(stage.result.training, {"model": weights}, spec, keys=keys)
        assert (made.rows, made.reason, len(passes)) == ([], "diverged", scored)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{kind: fourier}", r"analyze.0: fourier: takes the one-hot codes"),
        (
            "{kind: local_complexity, directions: 65}",
            r"analyze.0: local_complexity.directions: 65 asked in a space of 64",
        ),
        ("{kind: local_complexity, at: nothing}", r"analyze.0: local_complexity.at: 'nothing' is not known"),
    ],
)
def test_what_cannot_be_measured_fails_before_training(entry, message):
    with pytest.raises(RecipeError, match=message):
        preflight(tiny([entry]))


def test_wrong_entries_are_explained():
    with pytest.raises(
        RecipeError, match=r"analyze.0.kind: 'gradient_alignement' is not known.*mean 'gradient_alignment'"
    ):
        tiny(["{kind: gradient_alignement}"])
    with pytest.raises(RecipeError, match="two entries are called 'cka'"):
        tiny(["{kind: cka}", "{kind: cka, draws: 3}"])
