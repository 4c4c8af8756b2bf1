"""Training jobs: what they leave out, where they start, and what they will cost."""

import pandas as pd
import pytest

from ungrok.study.bill import Bill, Price
from ungrok.study.jobs import Train


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
    kept = len(training.kept())
    seconds = 2 * training.steps + 100 * len(training.evaluated())
    assert job.bill(Prices()) == Bill(seconds, 3 * 8 * kept, kept)


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
    assert theirs.model_copy(update={"without": None}) == ours


@pytest.mark.parametrize("key", ["part"])
def test_keys_that_came_later_are_absent_where_unused(study, key):
    plan, _, _ = study
    assert key not in plan.job(plan.trajectories["base", 0], Train).spec.spec()
