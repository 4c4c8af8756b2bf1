"""Sizes of forget sets, against the sets themselves."""

from __future__ import annotations

from ungrok.study.forget_sizes import sizes_of
from ungrok.study.jobs import Trained, Unlearn
from ungrok.study.jobs.trained import forget_split
from ungrok.study.store import Store


def test_sizes_are_those_of_the_sets(finished, tmp_path):
    plan, store = finished
    data = store.open(plan.trajectories["base", 0], Trained).spec.data()
    split = forget_split(data, plan.job(plan.paths[0].path, Unlearn).spec.forget)
    assert sizes_of(plan, store) == {"base": {"class": {"0": [[len(split.forget), len(split.retain)]]}}}
    assert len(split.forget) + len(split.retain) == 120
    assert sizes_of(plan, Store(tmp_path)) == {}
