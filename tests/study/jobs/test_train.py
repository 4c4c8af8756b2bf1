"""Training jobs: what they leave out, where they start, and what they will cost."""

import pandas as pd
import pytest
import torch

from ungrok.study.bill import Bill, Price
from ungrok.study.job import key_of
from ungrok.study.jobs import Oracle, Train
from ungrok.study.jobs.trained import again, build_run, forget_split, weights_at
from ungrok.train import Run


class Prices:
    replay, examples = 1.0, 10
    unlearning = Price(1.0, 1.0, 1)

    def of(self, spec):
        return Price(update=2.0, evaluation=100.0, weights=8)


def test_a_bill_counts_updates_evaluations_and_checkpoints_with_two_moments(controlled):
    from ungrok.study.plan import make_plan

    plan = make_plan(controlled())
    job = plan.job(plan.trajectories["base", 0], Train)
    training = job.spec.trajectory
    kept, moments = len(training.restarts()) + 1, 2 * (len(training.restarts()) - 1)
    seconds = 2 * training.steps + 100 * len(training.evaluated())
    assert job.bill(Prices()) == Bill(seconds, 8 * (kept + moments), kept)


def test_the_path_is_kept_and_ends_at_the_last_step(study):
    plan, store, _ = study
    finished = store.open(plan.trajectories["base", 0], Train)
    rows = pd.DataFrame(finished.result.rows)
    assert finished.result.status == "completed"
    assert finished.result.steps == rows["step"].iloc[-1] == finished.spec.trajectory.steps
    assert finished.result.checkpoints == finished.spec.trajectory.kept()
    assert finished.result.forget is None


def test_an_oracle_and_its_trajectory_differ_in_what_they_see_only(study):
    plan, _, _ = study
    (key,) = {plan.jobs[key].inputs["trajectory"] for where, key in plan.oracles.items() if where[0] == "base"}
    ours, theirs = plan.job(plan.trajectories["base", 0], Train).spec, plan.job(key, Train).spec
    assert theirs.without is not None
    assert theirs.measured == "classes left"
    assert theirs.model_copy(update={"without": None, "measured": None}) == ours


def test_an_oracle_that_never_saw_a_class_is_read_on_the_classes_left(study, monkeypatch):
    """What is recorded is the accuracy of the kept model on them; the weights are those of a training measured on all."""
    plan, store, results = study
    where = ("base", 0, "class", "grokked")
    oracle = store.open(plan.oracles[where], Oracle)
    trained = store.open(oracle.inputs["trajectory"], Train)
    (gone,) = forget_split(trained.spec.data(), trained.spec.without).classes
    last = trained.result.rows[-1]
    model = again(trained).model
    model.load_state_dict(weights_at(trained, last["step"]))
    data = trained.spec.data()
    for name in ("validation", "test"):
        split = getattr(data, name)
        with torch.no_grad():
            right = model(split.ready(split.inputs)).argmax(1) == split.targets
        left = split.targets != gone
        assert last[f"{name}_accuracy"] == pytest.approx(right[left].float().mean().item(), abs=1e-6)
        assert right[~left].sum() == 0  # so that accuracy on all is lower
    statuses = results.oracles.set_index(["arm", "stage"])["oracle_status"]
    assert statuses["base", "grokked"] == "grokked"

    monkeypatch.setattr(Run, "measure_on", lambda *_: None)
    on_all = build_run(trained.spec)
    on_all.advance(last["step"])
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in on_all.model.state_dict().items())
    assert len(on_all.data.validation) == len(data.validation)


def test_a_training_without_part_of_a_class_keeps_its_key(controlled):
    from ungrok.study.plan import make_plan

    for rule, measured in (
        ("{kind: classes}", None),
        ("{kind: random, size: 9}", None),
        ("{kind: class}", "classes left"),
    ):
        plan = make_plan(controlled(f"forget=[{rule}]"))
        specs = [job.spec for job in plan.jobs.values() if isinstance(job, Train) and job.spec.without]
        assert {spec.measured for spec in specs} == {measured}
        assert len(specs) == 2


def test_a_training_measured_on_all_classes_is_known_as_stale(study):
    plan, _, _ = study
    (key,) = {plan.jobs[key].inputs["trajectory"] for where, key in plan.oracles.items() if where[0] == "base"}
    job = plan.job(key, Train)
    assert key == "train-14fa91175e9b4d78cfcf375a"
    assert [key_of(*form) for form in job.earlier()] == ["train-81e90093cb50acaee5d23e76"]
    assert list(plan.job(plan.trajectories["base", 0], Train).earlier()) == []


@pytest.mark.parametrize("key", ["part", "measured"])
def test_keys_that_came_later_are_absent_where_unused(study, key):
    plan, _, _ = study
    assert key not in plan.job(plan.trajectories["base", 0], Train).spec.spec()
