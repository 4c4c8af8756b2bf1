"""What a study forgets by its shadow models, against loops over models and examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ungrok.study import engine
from ungrok.study.jobs import ShadowLogits, ShadowSplit, Unlearn
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.plan_shadows import held_of
from ungrok.study.store import Store

RANKED = (
    "seeds=[0]",
    "noise_seeds=0",
    "trajectory.steps=20",
    "stages=[final]",
    "claims.compare=[]",
    "unlearn=[{kind: gradient_ascent, updates: 2}]",
    "forget=[{kind: memorization, size: 9}, {kind: entanglement, third: low}]",
    "audit={shadows: 8}",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    plan = make_plan(load(str(Path(__file__).parents[1] / "tiny.yaml"), RANKED))
    store = Store(tmp_path_factory.mktemp("store"))
    engine.run(plan.needed_for(*(path.path for path in plan.paths)), store, workers=0)
    return plan, store


def test_examples_are_ordered_by_what_models_make_of_them(made):
    plan, store = made
    pool = plan.recipe.problem.pool()[0].load()
    logits = [
        store.open(own.logits, ShadowLogits).tensors("logits.safetensors")["pool"].double().numpy()
        for own in plan.shadows
    ]
    held = [set(held_of(plan.recipe, shadow).examples(pool).tolist()) for shadow in range(8)]
    memorized, mean = {}, np.mean([one[:120] for one in logits], axis=0)
    for i in range(120):
        right = [int(one[i].argmax() == pool.train.targets[i]) for one in logits]
        sides = [[right[k] for k in range(8) if (i in held[k]) == inside] for inside in (True, False)]
        memorized[i] = np.mean(sides[0]) - np.mean(sides[1])
    splits = {
        job.spec.forget.rule.kind: store.open(job.key, ShadowSplit).result
        for job in plan.jobs.values()
        if isinstance(job, ShadowSplit)
    }
    high = sorted(memorized, key=lambda i: (memorized[i], i))[80:]
    chosen = splits["memorization"]
    assert len(chosen.forget) == 9
    assert set(chosen.forget) < set(high)
    assert chosen.members["memorization"] == pytest.approx([memorized[i] for i in chosen.forget])
    far = [float(np.sqrt(((mean[i] - mean.mean(axis=0)) ** 2).sum())) for i in range(120)]
    assert splits["entanglement"].forget == sorted(sorted(range(120), key=lambda i: -far[i])[:40])


def test_paths_forget_what_was_chosen(made):
    plan, store = made
    for path in plan.paths:
        walked = store.open(path.path, Unlearn)
        split = store.open(walked.inputs["split"], ShadowSplit).result
        assert walked.tensors("path.safetensors")["forget"].tolist() == split.forget
