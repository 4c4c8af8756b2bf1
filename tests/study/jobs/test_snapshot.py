"""The model at the matched dose is the one that the path passed there."""

import pytest

from ungrok.data import TensorBatches
from ungrok.study.executing import execute
from ungrok.study.jobs import Snapshot, Unlearn
from ungrok.study.jobs.snapshot import SnapshotSpec
from ungrok.study.jobs.trained import build_run


def snapshot(study, method, stage="grokked", arm="base", **settings):
    plan, store, _ = study
    path = next(p for p in plan.paths if (p.arm, p.stage, p.method) == (arm, stage, method))
    walked = plan.job(path.path, Unlearn)
    parts = {name: getattr(walked.spec, name) for name in ("unlearn", "forget", "seed", "batches", "objective")}
    job = Snapshot(SnapshotSpec(**parts, **{"dose": 1.0, "strength": 1.0, **settings}), walked.inputs)
    store.prepare()
    execute(store, job)
    return store.open(job.key, Snapshot), store.open(path.path, Unlearn)


@pytest.mark.parametrize(
    ("method", "settings", "dose"), [("scrub", {"dose": 0.5}, 10), ("fisher", {"strength": 0.5}, 1e-6)]
)
def test_it_has_the_scores_of_the_path_at_that_dose(study, method, settings, dose):
    kept, walked = snapshot(study, method, **settings)
    assert kept.result.dose == dose
    run = build_run(kept.result.training)
    run.model.load_state_dict(kept.tensors("model.safetensors"))
    predictions = run.objective.score(run.model, TensorBatches(run.data.test)).predictions
    place = walked.result.doses.index(dose)
    assert predictions.tolist() == walked.tensors("path.safetensors")["test.predictions"][place].tolist()


def test_without_a_stage_there_is_none(study):
    kept, _ = snapshot(study, "scrub", stage="impossible", arm="wide")
    assert (kept.result.step, kept.result.dose) == (None, None)
    assert kept.result.reason


def test_it_was_called_otherwise(study):
    kept, _ = snapshot(study, "scrub")
    job = Snapshot(kept.spec, kept.inputs)
    assert [(kind, version) for kind, version, _, _ in job.earlier()] == [("unlearned", 1)]
