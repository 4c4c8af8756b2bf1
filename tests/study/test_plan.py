"""The job graph."""

from __future__ import annotations

from ungrok.study.plan import make_plan
from ungrok.study.rates import Extent


def test_keys_that_were_added_later_leave_stored_jobs_valid(tiny):
    """A key is the hash under which results are found again; it was first given before these options came."""
    job = next(iter(make_plan(tiny()).jobs.values()))
    assert job.key == "train-aa01f8f8ebae44ec8ca92e69"
    arms = tiny("arms.sam.trajectory.sam.rho=0.1", "arms.same.trajectory.sam=null")
    trajectories = make_plan(arms).trajectories
    assert trajectories["base", 0] == trajectories["same", 0] == job.key != trajectories["sam", 0]


def test_a_plan_grows_by_the_jobs_of_further_rates(tiny):
    plan = make_plan(tiny("unlearn.0.lr={auto: 0.05}"))
    plan.warnings.append("a warning of the preflight")
    before, extents = list(plan.jobs), {("gradient_ascent", "class"): Extent(1, 2)}
    added = plan.grow(extents)
    assert [job.kind for job in added] == ["unlearn", "evaluate"] * 4
    assert set(plan.jobs) == {*before, *(job.key for job in added)}
    assert list(plan.jobs) == list(make_plan(plan.recipe, extents).jobs), "whatever it grew from"
    assert (plan.extent("gradient_ascent", "class"), plan.round) == (Extent(1, 2), 2)
    assert plan.warnings == ["a warning of the preflight"]


def test_a_longer_list_of_strengths_takes_the_place_of_a_shorter_one(tiny):
    plan = make_plan(tiny("unlearn.2.alpha={auto: 1.0e-5}"))
    kinds = plan.counts()
    added = plan.grow({("fisher", "class"): Extent(2, 2)})
    assert [job.kind for job in added] == ["unlearn", "evaluate"] * 4
    assert plan.counts() == kinds
