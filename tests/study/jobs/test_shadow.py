"""The logits of a shadow model are those of a model that is trained directly on the same examples."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ungrok.audits.shadows import held_by, holds
from ungrok.data import TensorBatches
from ungrok.study import engine
from ungrok.study.jobs import Shadow, ShadowUnlearned, Train
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.seeding import Seeds, batch_order, initial_weights, path_batches
from ungrok.study.store import Store, Work
from ungrok.train import Run

TINY = Path(__file__).parents[1] / "tiny.yaml"
AUDIT = (
    "seeds=[0]",
    "trajectory.steps=20",
    "stages=[final]",
    "claims.compare=[]",
    "unlearn=[{kind: gradient_ascent, lr: 0.05, updates: 4}]",
    "audit={shadows: 8, place: dose}",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a plan, and a store that holds what two of its shadows need."""

    plan, store = make_plan(load(str(TINY), AUDIT)), Store(tmp_path_factory.mktemp("store"))
    first = [own.logits for own in plan.shadows if own.shadow < 2]
    engine.run(plan.needed_for(*first), store, workers=0)
    return plan, store


def direct(plan, shadow):
    """Return a shadow trained by the loop alone, and its examples."""
    problem, model, training = plan.recipe.for_arm("base")
    pool = problem.pool()[0].load()
    targets, own = pool.train.targets, problem.load()
    split = plan.recipe.forget[0].split(own, Seeds(0).forget)
    barred = [i for i in range(120, 240) if targets[i] == targets[split.forget[0]]]
    chosen = held_by(shadow, 240, 120, [split.forget.numpy()], barred, Seeds(0).shadows)
    seed = Seeds(0).shadow_of(shadow)
    data = pool.without(split)
    object.__setattr__(data, "train", pool.train.of(torch.from_numpy(chosen)))
    run = Run(model.build(data.shape, data.outputs, initial_weights(seed)), data, training, batch_order(seed))
    run.advance(training.steps)
    return run, pool, chosen, split.forget


def logits(run, split):
    return run.objective.score(run.model, TensorBatches(split)).logits.half()


def test_logits_are_those_of_a_direct_training(made):
    plan, store = made
    for own in plan.shadows[:1]:
        run, pool, *_ = direct(plan, own.shadow)
        kept = store.open(own.logits, Shadow)
        assert (kept.result.step, kept.result.reason) == (20, "")
        tensors = kept.tensors("logits.safetensors")
        assert {name: (part.dtype, part.shape) for name, part in tensors.items()} == {
            "pool": (torch.float16, (240, 10)),
            "test": (torch.float16, (len(pool.test), 10)),
        }
        assert torch.equal(tensors["pool"], logits(run, pool.train))
        assert torch.equal(tensors["test"], logits(run, pool.test))


def test_the_one_of_a_pair_that_holds_the_set_unlearns_it(made):
    plan, store = made
    (own,) = [one for one in plan.shadows if one.method and one.shadow < 2]
    assert holds(own.shadow, 1, Seeds(0).shadows) == [True]
    run, pool, chosen, forget = direct(plan, own.shadow)
    inside = torch.isin(torch.from_numpy(chosen), forget)
    method, seed = plan.recipe.unlearn[0], Seeds(0).shadow_unlearning_of(own.shadow)
    ours, theirs = (
        TensorBatches(
            run.data.train.of(part.nonzero()[:, 0]), getattr(plan.recipe.batches, role), path_batches(seed, role)
        )
        for role, part in (("forget", inside), ("retain", ~inside))
    )
    for step in method.path(run.model, ours, theirs, run.objective, seed=seed):
        run.model = step.model
    kept = store.open(own.logits, ShadowUnlearned)
    assert (kept.result.step, kept.result.dose) == (20, 4)
    assert torch.equal(kept.tensors("logits.safetensors")["pool"], logits(run, pool.train))


def test_a_shadow_that_holds_nothing_of_a_class_is_measured_on_the_others(made):
    plan, store = made
    shadow = next(k for k in (0, 1) if holds(k, 1, Seeds(0).shadows) == [False])
    training = store.open(next(own.training for own in plan.shadows if own.shadow == shadow), Train)
    run, pool, _, forget = direct(plan, shadow)
    assert training.spec.held.shadow == shadow
    others = pool.validation.targets != pool.train.targets[forget[0]]
    scores = pool.validation.score(run.model, run.objective, 500)
    right = (scores.predictions == scores.targets)[others].double().mean().item()
    assert training.result.rows[-1]["validation_accuracy"] == pytest.approx(right)


def test_where_there_is_no_stage_there_are_no_logits(made, tmp_path):
    plan, store = made
    never = plan.recipe.model_copy(update={"stages": ["grokked"]})
    grown = make_plan(never)
    first = [own for own in grown.shadows if own.shadow < 2]
    engine.run(grown.needed_for(*(own.logits for own in first)), store, workers=0)
    for own in first:
        kind = ShadowUnlearned if own.method else Shadow
        result = store.open(own.logits, kind).result
        assert result.step is None
        assert result.reason


def test_where_no_shadow_that_never_saw_the_set_is_at_the_stage_nothing_says_where_to_stop(made, tmp_path, monkeypatch):
    plan, store = make_plan(load(str(TINY), (*AUDIT[:-1], "audit={shadows: 8}"))), Store(tmp_path)
    own = next(one for one in plan.shadows if one.method)
    opened = Work.open

    def open_without_never(work, role, kind):
        if role.startswith("never-"):
            return SimpleNamespace(result=SimpleNamespace(step=None))
        return opened(work, role, kind)

    monkeypatch.setattr(Work, "open", open_without_never)
    engine.run(plan.needed_for(own.logits), store, workers=0)
    result = store.open(own.logits, ShadowUnlearned).result
    assert (result.step, result.dose) == (None, None)
    assert result.reason == "no shadow that never saw the forget set reached this stage, so nothing says where to stop"


def test_unlearning_stops_where_no_more_is_known_than_by_models_that_never_saw_the_set(tmp_path):
    """At the first update with UA at or below the mean of the other shadows, or at the end; the path is the method's own."""
    more = "unlearn=[{kind: gradient_ascent, lr: 0.01, updates: 6}, {kind: finetune, lr: 1.0e-6, updates: 2}]"
    plan, store = make_plan(load(str(TINY), (*AUDIT[:-2], more, "audit={shadows: 8}"))), Store(tmp_path)
    unlearned = [own for own in plan.shadows if own.method]
    engine.run(plan.needed_for(*(own.logits for own in unlearned)), store, workers=0)
    never = [own for own in plan.shadows if own.method is None and not holds(own.shadow, 1, Seeds(0).shadows)[0]]
    *_, pool, _, forget = direct(plan, unlearned[0].shadow)
    known = [
        (
            store.open(own.logits, Shadow).tensors("logits.safetensors")["pool"][forget].argmax(1)
            == pool.train.targets[forget]
        )
        .double()
        .mean()
        .item()
        for own in never
    ]
    level, stopped = sum(known) / len(known), set()
    for own in unlearned:
        run, pool, chosen, forget = direct(plan, own.shadow)
        inside = torch.isin(torch.from_numpy(chosen), forget)
        method = next(one for one in plan.recipe.unlearn if one.label == own.method)
        seed = Seeds(0).shadow_unlearning_of(own.shadow)
        ours, theirs = (
            TensorBatches(
                run.data.train.of(part.nonzero()[:, 0]), getattr(plan.recipe.batches, role), path_batches(seed, role)
            )
            for role, part in (("forget", inside), ("retain", ~inside))
        )
        for step in method.path(run.model, ours, theirs, run.objective, seed=seed):
            if (
                run.objective.score(step.model, TensorBatches(run.data.train.of(inside.nonzero()[:, 0]))).accuracy
                <= level
            ):
                break
        kept = store.open(own.logits, ShadowUnlearned).result
        assert (kept.dose, kept.level) == (step.dose, pytest.approx(level))
        stopped.add((own.method, kept.dose < method.updates))
    assert ("gradient_ascent", True) in stopped
