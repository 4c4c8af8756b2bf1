"""Schemes in a plan: what they add, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.plan_schemes import scheme_jobs

TINY = Path(__file__).parent / "tiny.yaml"
FORGET = "forget=[{kind: class}, {kind: random, size: 3}]"


def test_a_scheme_adds_its_models_per_seed_and_a_request_per_split():
    plain = make_plan(load(str(TINY), [FORGET]))
    plan = make_plan(load(str(TINY), [FORGET, "schemes=[{kind: sisa, shards: 2}, {kind: sisa, name: many}]"]))
    added = [job for key, job in plan.jobs.items() if key not in plain.jobs]
    assert plain.jobs.keys() < plan.jobs.keys()
    assert scheme_jobs(plain) == []
    # The stages of the recipe lie before the last step, so that oracles of that step are added, and the step as a stage.
    assert {kind: sum(job.kind == kind for job in added) for kind in {job.kind for job in added}} == {
        "prepared": 4, "fulfilled": 8, "stage": 2, "oracle": 4,
    }  # fmt: skip
    before = len(plan.jobs)
    requests = scheme_jobs(plan)
    assert len(plan.jobs) == before
    assert [(one.seed, one.scheme, one.forget) for one in requests][:3] == [
        (0, "sisa", "class"), (0, "sisa", "random-3"), (0, "many", "class"),
    ]  # fmt: skip


def test_an_oracle_of_the_last_step_that_is_there_is_taken():
    plan = make_plan(load(str(TINY), ["stages=[final]", "claims.compare=[]", "schemes=[{kind: sisa}]"]))
    assert {one.oracle for one in scheme_jobs(plan)} == {
        key for (arm, _, _, _), key in plan.oracles.items() if arm == "base"
    }


def test_a_request_for_a_set_that_shadow_models_chose_reads_it_from_where_the_paths_do():
    ranked = ["forget=[{kind: memorization, size: 5}, {kind: class}]", "audit={shadows: 8}", "schemes=[{kind: sisa}]"]
    plan = make_plan(load(str(TINY), ranked))
    for one in scheme_jobs(plan):
        fulfilled, oracle = plan.jobs[one.fulfilled], plan.jobs[one.oracle]
        chosen = {
            plan.jobs[path.path].inputs.get("split")
            for path in plan.paths
            if (path.seed, path.forget) == (one.seed, one.forget)
        }
        assert {job.inputs.get("split") for job in (fulfilled, oracle)} == chosen
        assert (fulfilled.spec.forget is None) == (one.forget == "memorization-high-5")
