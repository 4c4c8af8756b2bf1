"""The model at a place is the one that the path passed there."""

import pytest
import torch

from ungrok.data import TensorBatches
from ungrok.study.bill import Bill, Price
from ungrok.study.executing import execute
from ungrok.study.jobs import Evaluate, Placed, Unlearn
from ungrok.study.jobs.checkpoint import Checkpoint, weights_of
from ungrok.study.jobs.evaluate import EvaluateSpec
from ungrok.study.jobs.placed import PlacedSpec, reason_at, row_at
from ungrok.study.jobs.trained import build_run
from ungrok.study.plan_stress import path_settings


@pytest.fixture(scope="module")
def placed(study):
    """Return a function that runs the job of a place on a path of the study, and opens it and the path."""
    plan, store, _ = study
    store.prepare()

    def run(method, where, stage="grokked", arm="base"):
        path = next(p for p in plan.paths if (p.arm, p.stage, p.method) == (arm, stage, method))
        inputs = {**plan.jobs[path.path].inputs, "rows": path.rows}
        job = Placed(PlacedSpec(**path_settings(plan, path), where=where), inputs)
        execute(store, job)
        return store.open(job.key, Placed), store.open(path.path, Unlearn), store.open(path.rows, Evaluate).result.rows

    return run


@pytest.mark.parametrize("where", [0.1, 0.5, "oracle", "rewound", "end"])
@pytest.mark.parametrize("method", ["gradient_ascent", "scrub"])
def test_it_has_the_scores_of_the_path_at_that_place(placed, method, where):
    kept, walked, rows = placed(method, where)
    column = {"rewound": "rewound", "oracle": "reached_oracle"}.get(where, f"reached_{where}")
    place = len(rows) - 1 if where == "end" else next(i for i, row in enumerate(rows) if row[column])
    assert place > 0
    assert (kept.result.dose, kept.result.updates) == (rows[place]["dose"], rows[place]["updates"])
    run = build_run(kept.result.training)
    run.model.load_state_dict(kept.tensors("model.safetensors"))
    predictions = run.objective.score(run.model, TensorBatches(run.data.test)).predictions
    assert predictions.tolist() == walked.tensors("path.safetensors")["test.predictions"][place].tolist()


def test_the_strength_of_a_one_shot_method_is_its_dose(placed):
    kept, walked, _ = placed("fisher", "end")
    assert (kept.result.dose, kept.result.updates) == (1e-3, None)
    assert kept.result.dose == walked.result.budget


def test_where_the_path_starts_at_the_target_it_is_the_model_of_the_stage(study, placed):
    plan, store, _ = study
    path = next(p for p in plan.paths if (p.arm, p.stage, p.method) == ("base", "pre_grok", "scrub"))
    scored = Evaluate(EvaluateSpec(targets=[0.999], audit=False), plan.jobs[path.rows].inputs)
    execute(store, scored)
    assert store.open(scored.key, Evaluate).result.rows[0]["UA"] < 0.999
    inputs = {**plan.jobs[path.path].inputs, "rows": scored.key}
    job = Placed(PlacedSpec(**path_settings(plan, path), where=0.999), inputs)
    execute(store, job)
    kept, stage = store.open(job.key, Placed), store.open(plan.stages["base", 0, "pre_grok"], Checkpoint)
    assert (kept.result.dose, kept.result.updates, kept.result.step) == (0, 0, stage.result.step)
    before, after = weights_of(stage), weights_of(kept)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_without_a_stage_there_is_no_place(placed):
    kept, _, rows = placed("scrub", 0.1, "impossible", "wide")
    assert (kept.result.step, kept.result.dose, kept.result.updates) == (None, None, None)
    assert "weight_norm is off by" in kept.result.reason
    assert rows == []


def test_a_place_that_the_path_does_not_have_and_one_where_it_has_diverged_say_so():
    rows = [{"dose": 0.0, "rewound": True, "diverged": False}, {"dose": 1.0, "rewound": False, "diverged": True}]
    assert row_at(rows, "end") == rows[1]
    assert row_at(rows, "rewound") == rows[0]
    assert row_at([], "end") is None
    never = [row | {"reached_0.1": False} for row in rows]
    assert row_at(never, 0.1) is None
    assert row_at(never, 0.1, or_end=True) == never[1]
    assert row_at([], 0.1, or_end=True) is None
    assert reason_at(0.1, None) == "the path has no place 0.1"
    assert reason_at("end", rows[1]) == "the path has diverged there"
    assert reason_at("rewound", rows[0]) == ""


def test_the_bill_is_that_of_the_whole_path(study):
    plan, _, _ = study
    path = next(p for p in plan.paths if p.method == "gradient_ascent")
    job = Placed(PlacedSpec(**path_settings(plan, path), where="end"), {})
    assert job.bill(Prices()) == Bill(40 * 2.0, 8)


class Prices:
    replay, examples = 1.0, 10
    unlearning = Price(update=2.0, evaluation=100.0, weights=8)
