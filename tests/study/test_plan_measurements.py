"""What is measured where; see also tests/study/jobs/test_analyze.py."""

from __future__ import annotations

from ungrok.study.jobs import Snapshot
from ungrok.study.plan import make_plan
from ungrok.study.rates import Extent

ANALYZE = "analyze=[{kind: weight_norm}]"


def test_a_stage_is_measured_once_and_a_path_at_its_matched_dose(tiny):
    plan = make_plan(tiny(ANALYZE))
    places = [(one.seed, one.stage, one.method) for one in plan.measurements]
    assert len(places) == len(set(places)) == 2 * 2 * (1 + 3)


def test_paths_of_a_search_are_not_measured(tiny):
    """They end at the target, not at the matched dose."""
    plain, plan = make_plan(tiny(ANALYZE)), make_plan(tiny(ANALYZE, "unlearn.0.lr={auto: 0.05}"))
    assert plan.measurements == plain.measurements
    assert len(plan.paths) == len(plain.paths) + 2 * 4


def test_the_matched_dose_is_that_of_the_strengths_that_a_search_has_come_to(tiny):
    extents = {("fisher", "class"): Extent(1, 3)}
    plan = make_plan(tiny(ANALYZE, "unlearn.2.alpha={auto: 1.0e-5}"), extents)
    (strengths,) = {
        job.spec.unlearn.alpha
        for job in plan.jobs.values()
        if isinstance(job, Snapshot) and job.spec.unlearn.kind == "fisher"
    }
    assert strengths == (5e-6, 1e-5, 2e-5, 4e-5, 8e-5)
