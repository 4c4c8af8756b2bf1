"""The audit of a study: the same file from one process and from two, and nothing but logits left behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ungrok.audits import margins
from ungrok.audits.shadows import load_shadows
from ungrok.study import engine
from ungrok.study.audit import audit_jobs, drop_weights, read_audit, run_audit, sentences, signals
from ungrok.study.jobs import ShadowLogits, Unlearn
from ungrok.study.jobs.held import drawn_sets
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.plan_shadows import held_of
from ungrok.study.running import running
from ungrok.study.store import Store

OVERRIDES = (
    "seeds=[0]",
    "trajectory.steps=20",
    "trajectory.evaluate_steps=20",
    "stages=[final]",
    "claims.compare=[]",
    "forget=[{kind: random, size: 20}]",
    "unlearn=[{kind: gradient_ascent, lr: 0.05, updates: 2}, {kind: retrain, optimizer: adamw, lr: 3.0e-3, weight_decay: 0.01, updates: 20}]",
    "batches.retain=60",
    "audit={shadows: 8, measures: [ulira], memorization: true}",
)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """Return a plan and the folder in which an audit was run in this process."""
    plan = make_plan(load(str(Path(__file__).with_name("tiny.yaml")), OVERRIDES))
    folder = tmp_path_factory.mktemp("audit")
    run_audit(plan, folder / "run", Store(folder / "store"), workers=0)
    return plan, folder


def test_two_workers_give_the_same_bytes(audited, tmp_path):
    plan, folder = audited
    run_audit(plan, tmp_path / "run", Store(tmp_path / "store"), workers=2)
    for name in ("audit.json", "shadows/shadows.json", "shadows/final.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (folder / "run" / name).read_bytes()


def test_retraining_by_the_rule_of_training_cannot_be_told_from_never_having_seen_the_set(audited):
    _, folder = audited
    rows = {row["method"]: row for row in json.loads((folder / "run" / "audit.json").read_text())["rows"]}
    low, high = rows["retrain"]["interval"]
    assert low <= 0.5 <= high
    assert rows["retrain"]["excess"] <= rows["retrain"]["null"]["upper"]


def test_only_what_the_audit_needs_is_run(audited):
    plan, folder = audited
    kinds = {job.kind for job in audit_jobs(plan)}
    assert kinds == {"train", "stage", "shadow", "shadow_unlearned"}
    there = {path.name for path in (folder / "store").iterdir() if not path.name.startswith(".")}
    assert there == {job.key for job in audit_jobs(plan)}
    assert not any(isinstance(plan.jobs[key], Unlearn) for key in there)


def test_signals_are_read_back_from_the_jobs(audited):
    plan, folder = audited
    (stage,) = signals(plan, Store(folder / "store"))
    kept = load_shadows(folder / "run", "final")
    assert (stage.trained, stage.numbers.tolist()) == (8, list(range(8)))
    pool = plan.recipe.problem.pool()[0].load()
    forget = drawn_sets(pool, 120, held_of(plan.recipe, 0).forget).sets[0].numpy()
    assert np.array_equal(kept.forget["random-20"], forget)
    for own in plan.shadows:
        job = Store(folder / "store").open(own.logits, ShadowLogits)
        logits = job.tensors("logits.safetensors")["pool"].numpy()
        if own.method is None:
            held = held_of(plan.recipe, own.shadow).examples(pool).numpy()
            assert np.array_equal(np.flatnonzero(kept.held[own.shadow]), held)
            assert np.array_equal(kept.logits[own.shadow], logits)
        else:
            after = kept.unlearned["random-20"][own.method]
            row = after.numbers.tolist().index(own.shadow)
            assert np.array_equal(after.logits[row], logits)
            signal = margins(logits[forget], pool.train.targets.numpy()[forget])
            assert np.array_equal(kept.after("random-20", own.method)[row], signal)


def test_no_weights_stay_and_a_further_method_makes_them_again(audited):
    plan, folder = audited
    store = Store(folder / "store")
    left = {path.name for path in (folder / "store").glob("*/*.safetensors")}
    assert left == {"logits.safetensors"}
    assert engine.pending(store, audit_jobs(plan), lambda _: None) == []
    more = make_plan(
        plan.recipe.model_copy(update={"unlearn": [plan.recipe.unlearn[0].model_copy(update={"lr": 0.1})]})
    )
    one = next(own for own in more.shadows if own.method)
    needed = more.needed_for(one.logits)
    before = (folder / "store" / one.training / "result.json").read_bytes()
    said: list[str] = []
    assert engine.run(needed, store, workers=0, say=said.append) == 3
    assert (folder / "store" / one.training / "result.json").read_bytes() == before
    assert any("left out" in text for text in said)
    with running(store):
        drop_weights(plan, store)
        assert len(list((folder / "store" / one.training).glob("*.safetensors"))) > 0
    drop_weights(plan, store)
    assert not list((folder / "store" / one.training).glob("*.safetensors"))


def test_the_file_says_whose_it_is_and_its_lines_say_what_stands_in_it(audited):
    plan, folder = audited
    content = json.loads((folder / "run" / "audit.json").read_text())
    assert (content["recipe"], content["hash"]) == ("tiny", plan.recipe.hash)
    assert read_audit(folder / "run", plan.recipe) == content
    assert read_audit(folder / "run", plan.recipe.model_copy(update={"seeds": [0, 1]})) == {}
    row = content["rows"][0]
    assert (row["models"], row["words"]) == ([4, 4], "cannot tell at this N")
    lines = sentences(content)
    assert lines[0] == "final: 8 of 8 shadow models reached it"
    assert len(lines) == 3
    assert lines[1].startswith(f"ulira, gradient_ascent from final, random-20: {row['value']:.3f} [")
    assert lines[1].endswith("; cannot tell at this N")
    assert content["memorization"][0]["examples"] == 240
