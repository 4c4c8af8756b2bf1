"""A split that depends on how training went says what it chose from."""

from pathlib import Path

import pytest

from ungrok.study import engine
from ungrok.study.jobs import ChooseSplit, Train, Unlearn
from ungrok.study.jobs.split import split_for
from ungrok.study.jobs.trained import again
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.store import Store, Work

TEXT = Path(__file__).parents[1] / "tiny-text.yaml"


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    store, plan = Store(tmp_path_factory.mktemp("store")), make_plan(load(str(TEXT), ["seeds=[0]"]))
    engine.run(plan.needed_for(*plan.splits.values()), store, workers=0)
    return plan, store


def test_groups_are_counted_by_every_rule(splits):
    plan, store = splits
    results = {where[2]: store.open(key, ChooseSplit).result for where, key in plan.splits.items()}
    assert set(results) == {"grokked-4", "ungrokked-4"}
    for result in results.values():
        assert len(result.forget) == 4
        assert result.examples == 40
        assert result.sizes["used"] == {"grokked": 12, "ungrokked": 12}
        assert set(result.sizes) > {"used"}
        assert {len(values) for values in result.members.values()} == {4}
    assert not set(results["grokked-4"].forget) & set(results["ungrokked-4"].forget)


def test_a_job_takes_the_split_that_was_made_or_draws_that_of_its_spec(splits, tmp_path):
    plan, store = splits
    key = plan.splits["base", 0, "grokked-4"]
    data = plan.job(plan.trajectories["base", 0], Train).spec.data()
    made = split_for(Work(store, {"split": key}, tmp_path), data, None)
    assert made.forget.tolist() == store.open(key, ChooseSplit).result.forget
    block = next(
        job.spec.without for job in plan.jobs.values() if isinstance(job, Train) and job.spec.without is not None
    )
    drawn = split_for(Work(store, {}, tmp_path), data, block)
    assert drawn.forget.tolist() == list(range(20, 40))


def test_a_further_request_is_told_what_was_chosen_before_and_neither_is_trained_on_again(tmp_path):
    only = "forget=[{kind: local_grokking, size: 4, using: {by: quantile, candidate: 1}}]"
    small = ("seeds=[0]", "claims.compare=[]", "requests=2", "noise_seeds=0", "analyze=[]", "probe=null")
    plan = make_plan(load(str(TEXT), [only, *small, "unlearn=[{kind: gradient_difference, lr: 0.01, updates: 2}]"]))
    store = Store(tmp_path)
    engine.run(list(plan.jobs.values()), store, workers=0)
    first, second = (store.open(key, ChooseSplit) for key, job in plan.jobs.items() if isinstance(job, ChooseSplit))
    assert (first.result.before, second.result.before) == ([], [first.result.forget])
    gone = {*first.result.forget, *second.result.forget}
    assert len(gone) == 8
    assert "before" not in first.result.spec()
    (trained,) = (
        store.open(key, Train)
        for key, job in plan.jobs.items()
        if job.inputs.get("split") == second.path.name and isinstance(job, Train)
    )
    assert trained.result.forget == sorted(gone)
    assert len(again(trained).data.train) == 32
    (path,) = (
        store.open(key, Unlearn)
        for key, job in plan.jobs.items()
        if job.inputs.get("split") == second.path.name and isinstance(job, Unlearn)
    )
    tensors = path.tensors("path.safetensors")
    assert tensors["forget"].tolist() == second.result.forget
    assert tensors["retain"].tolist() == [i for i in range(40) if i not in gone]
