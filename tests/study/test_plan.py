"""The job graph."""

from __future__ import annotations

import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.job import key_of
from ungrok.study.jobs import Unlearn
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
    whole = make_plan(plan.recipe, extents)
    assert list(plan.jobs) == list(whole.jobs), "whatever it grew from"
    grown = vars(plan) | {"round": 1, "warnings": []}
    assert grown == vars(whole)
    assert all(key_of(job.kind, job.version, job.spec.spec(), job.inputs) == key for key, job in plan.jobs.items())
    assert (plan.extent("gradient_ascent", "class"), plan.round) == (Extent(1, 2), 2)
    assert plan.warnings == ["a warning of the preflight"]


def test_a_longer_list_of_strengths_takes_the_place_of_a_shorter_one(tiny):
    plan = make_plan(tiny("unlearn.2.alpha={auto: 1.0e-5}"))
    kinds, rounds = plan.counts(), {**plan.jobs}
    for round_ in (2, 3):
        added = plan.grow({("fisher", "class"): Extent(round_, 2)})
        assert [job.kind for job in added] == ["unlearn", "evaluate"] * 4
        assert plan.counts() == kinds
        again = [plan.jobs[key] is job for key, job in rounds.items() if key in plan.jobs]
        assert sum(again) > 0.9 * len(again), "few keys are made twice"
        rounds |= {job.key: job for job in added}
        assert plan.every == rounds
        assert len(plan.replaced) == 8 * (round_ - 1)


def test_an_arm_may_have_fewer_seeds_and_other_rates_of_unlearning(tiny):
    bare, plan = (
        make_plan(tiny("seeds=[5, 6, 7]")),
        make_plan(tiny("seeds=[5, 6, 7]", "arms.x={seeds: 2, unlearn_lr: 0.25}")),
    )
    assert [seed for arm, seed in plan.trajectories if arm == "x"] == [5, 6]
    assert {arm for arm, seed, *_ in plan.oracles if seed == 7} == {"base"}
    assert set(bare.jobs) <= set(plan.jobs)
    rates = {
        (path.arm, path.method): getattr(plan.job(path.path, Unlearn).spec.unlearn, "lr", None) for path in plan.paths
    }
    known = [method for (arm, method), rate in rates.items() if arm == "base" and rate]
    assert len(known) >= 2
    assert all(rates["x", method] == 0.25 * rates["base", method] for method in known)
    assert rates["x", "fisher"] is rates["base", "fisher"] is None
    text = tiny("arms.x={trajectory: {steps: 300}}").spec()["arms"]["x"]
    assert not {"seeds", "unlearn_lr"} & text.keys()


def test_an_arm_may_have_fewer_forget_splits(tiny):
    splits = "forget=[{kind: random, fraction: 0.2, name: a}, {kind: random, fraction: 0.1, name: b}]"
    plan = make_plan(tiny(splits, "arms.x={forget: [b], trajectory: {steps: 300}}", "claims.compare=[]"))
    assert {(arm, forget) for arm, _, forget, _ in plan.oracles} == {("base", "a"), ("base", "b"), ("x", "b")}
    assert {(path.arm, path.forget) for path in plan.paths} == {("base", "a"), ("base", "b"), ("x", "b")}
    with pytest.raises(RecipeError, match=r"arms\.x\.forget: 'c' is not in this recipe; allowed: a, b"):
        tiny(splits, "arms.x={forget: [c]}")


def test_what_an_arm_with_fewer_seeds_cannot_do(tiny):
    matched = "controls.m={kind: matched, stage: grokked, equal: updates, arm: x}"
    with pytest.raises(RecipeError, match=r"controls\.m\.arm: 'x' has fewer seeds than arm 'base'"):
        tiny("seeds=[0, 1]", "arms.x={seeds: 1}", matched, "stages=[grokked, m]")
    with pytest.raises(RecipeError, match=r"arms\.x\.unlearn_lr: 0\.5 does not go with a search"):
        tiny("arms.x={unlearn_lr: 0.5}", "unlearn.0.lr=auto")
    with pytest.raises(RecipeError, match=r"observe\.drawn: does not go with requests: 2"):
        tiny("observe.drawn={retain: 5}", "requests=2")
