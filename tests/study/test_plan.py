"""The job graph."""

from __future__ import annotations

from ungrok.study.plan import make_plan


def test_keys_that_were_added_later_leave_stored_jobs_valid(tiny):
    """A key is the hash under which results are found again; it was first given before these options came."""
    job = next(iter(make_plan(tiny()).jobs.values()))
    assert job.key == "train-aa01f8f8ebae44ec8ca92e69"
    arms = tiny("arms.sam.trajectory.sam.rho=0.1", "arms.same.trajectory.sam=null")
    trajectories = make_plan(arms).trajectories
    assert trajectories["base", 0] == trajectories["same", 0] == job.key != trajectories["sam", 0]
