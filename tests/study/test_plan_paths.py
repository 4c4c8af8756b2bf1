"""The paths of a plan, and those that a search adds to them."""

from __future__ import annotations

from ungrok.study.jobs import Evaluate, Unlearn
from ungrok.study.plan import make_plan
from ungrok.study.rates import Extent

ARM = "arms.slow={trajectory: {batch_size: 32}, stages: [grokked, final]}"
TWO = "forget=[{kind: class}, {kind: random, size: 9}]"


def specs(plan, method):
    return [plan.job(path.path, Unlearn).spec for path in plan.paths if path.method == method]


def test_a_recipe_without_a_search_has_one_path_per_seed_stage_split_and_method(tiny):
    plan = make_plan(tiny(ARM, TWO))
    assert len(plan.paths) == len(set(plan.paths)) == 2 * (2 + 2) * 2 * 3
    assert {spec.until for spec in specs(plan, "scrub")} == {None}


def test_a_search_adds_paths_for_every_seed_stage_arm_and_split_and_changes_no_other_job(tiny):
    before, plan = make_plan(tiny(ARM, TWO)), make_plan(tiny(ARM, TWO, "unlearn.0.lr={auto: 0.05}"))
    assert set(before.jobs) < set(plan.jobs)
    added = [path for path in plan.paths if path not in before.paths]
    assert {path.method for path in added} == {"gradient_ascent lr=0.025", "gradient_ascent lr=0.1"}
    assert len(added) == 2 * (2 * (2 + 2) * 2)
    assert {plan.jobs[key].kind for key in set(plan.jobs) - set(before.jobs)} == {"unlearn", "evaluate"}


def test_paths_of_a_search_differ_from_the_method_s_own_in_rate_and_end_only(tiny):
    plan = make_plan(tiny("unlearn.0.lr={auto: 0.05}", "claims.targets=[oracle, 0.2]"))
    own, slower = (specs(plan, name)[0] for name in ("gradient_ascent", "gradient_ascent lr=0.025"))
    changed = own.unlearn.model_copy(update={"lr": 0.025})
    assert slower == own.model_copy(update={"unlearn": changed, "until": 0.2})
    audits = {path.method: plan.job(path.rows, Evaluate).spec.audit for path in plan.paths}
    assert audits["gradient_ascent"]
    assert not audits["gradient_ascent lr=0.025"]


def test_grids_of_forget_splits_may_differ(tiny):
    recipe = tiny(TWO, "unlearn.0.lr={auto: 0.05}")
    plan = make_plan(recipe, {("gradient_ascent", "random-9"): Extent(1, 2)})
    by_split = {
        forget: {path.method for path in plan.paths if path.forget == forget} for forget in recipe.forget_labels()
    }
    first = {"gradient_ascent lr=0.025", "gradient_ascent", "gradient_ascent lr=0.1", "scrub", "fisher"}
    assert by_split == {"class": first, "random-9": first | {"gradient_ascent lr=0.2"}}


def test_strengths_that_are_searched_for_stay_one_path_also_along_the_trajectory(tiny):
    along = "along={unlearn: fisher, forget: class, points: 2, seeds: 1}"
    plan = make_plan(tiny(along, "unlearn.2.alpha={auto: 1.0e-5}"), {("fisher", "class"): Extent(1, 2)})
    lists = [spec.unlearn.alpha for spec in specs(plan, "fisher")]
    assert len(lists) == 2 * 2 + 2
    assert set(lists) == {(5e-6, 1e-5, 2e-5, 4e-5)}
    assert {spec.until for spec in specs(plan, "fisher")} == {None}
