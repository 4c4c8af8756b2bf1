"""SISA in a study: one shard of one slice is the oracle, untouched shards stay, and what is trained again is as if it had never read what is gone."""

import pytest
import torch
from tests.study.conftest import TINY

from ungrok.core.files import load_tensors
from ungrok.data.forget import ForgetSplit
from ungrok.study import engine
from ungrok.study.jobs import Fulfilled, Oracle, Prepared
from ungrok.study.jobs.trained import build_run, forget_split, fresh_model
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.plan_schemes import scheme_jobs
from ungrok.study.store import Store
from ungrok.train.record import model_state

SETTINGS = (
    "seeds=[0]", "noise_seeds=0", "trajectory.steps=60", "stages=[step-30]", "claims.compare=[]", "forget=[{kind: random, size: 2}]",
    "unlearn=[{kind: finetune, updates: 1}]",
    "schemes=[{kind: sisa, shards: 1, name: whole}, {kind: sisa, shards: 4, slices: 2}]",
)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return the requests by scheme, each with its three finished jobs."""
    plan, store = make_plan(load(str(TINY), SETTINGS)), Store(tmp_path_factory.mktemp("store"))
    engine.run(list(plan.jobs.values()), store, workers=0)
    kinds = {"prepared": Prepared, "fulfilled": Fulfilled, "oracle": Oracle}
    return {
        one.scheme: {name: store.open(getattr(one, name), kind) for name, kind in kinds.items()}
        for one in scheme_jobs(plan)
    }


def gone_of(jobs):
    spec = jobs["prepared"].spec
    return forget_split(spec.training.data(), jobs["fulfilled"].spec.forget).forget


def weights(jobs, name, member, part):
    file = jobs[name].path / f"member-{member:03d}-part-{part:03d}.safetensors"
    return model_state(load_tensors(file))


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_one_shard_of_one_slice_is_retraining_bit_for_bit(study):
    jobs = study["whole"]
    assert "name" not in jobs["prepared"].spec.spec()["scheme"]
    assert equal(weights(jobs, "fulfilled", 0, 0), load_tensors(jobs["oracle"].path / "model.safetensors"))
    done, oracle = jobs["fulfilled"].result, jobs["oracle"].result
    assert done.after == oracle.accuracies
    assert (done.hit, done.updates, oracle.step) == ([0], 60, 60)
    # Batches of 60 of 118 examples: 60 and 58 in turn.
    assert done.passes == pytest.approx(30 * 118 / 120)
    assert jobs["prepared"].result.passes == 30


def test_what_is_hit_is_trained_as_if_it_had_never_read_what_is_gone(study):
    jobs = study["sisa"]
    spec, done, gone = jobs["prepared"].spec, jobs["fulfilled"].result, gone_of(jobs)
    members, everything, read, made = spec.members(120), torch.arange(120), 0, 0
    holding = [number for number, parts in enumerate(members) if {*parts[-1].examples.tolist()} & {*gone.tolist()}]
    assert done.hit == holding
    assert 0 < len(holding) < 4
    for number, parts in enumerate(members):
        state, step = None, 0
        for part in parts:
            left = torch.tensor([i for i in part.examples.tolist() if i not in gone.tolist()])
            others = everything[~torch.isin(everything, left)]
            run = build_run(spec.of_member(number, parts), ForgetSplit(others, left, ()))
            if state:
                run.restore(state)
            run.advance(part.until)
            if {*part.examples.tolist()} & {*gone.tolist()}:  # one batch holds them all
                read, made = read + (part.until - step) * len(left), made + part.until - step
            state, step = run.state(), part.until
        final = weights(jobs, "fulfilled" if number in holding else "prepared", number, 1)
        assert equal(final, model_state(run.weights()))
    assert (done.updates, done.passes) == (made, pytest.approx(read / 120))


def test_only_what_was_hit_is_kept_anew(study):
    jobs = study["sisa"]
    names = {path.name for path in jobs["fulfilled"].path.glob("member-*")}
    assert names == {f"member-{number:03d}-part-001.safetensors" for number in jobs["fulfilled"].result.hit}
    for number in jobs["fulfilled"].result.hit:
        assert not equal(weights(jobs, "fulfilled", number, 1), weights(jobs, "prepared", number, 1))


def test_the_ensemble_is_scored_before_and_after(study):
    done, trained = study["sisa"]["fulfilled"].result, study["sisa"]["prepared"].result
    assert trained.status == "completed"
    assert trained.members == [30] * 4
    assert (done.before.validation_accuracy, done.before.TA) == (trained.validation_accuracy, trained.TA)
    share = (2 * done.before.UA + 118 * done.before.RA) / 120
    assert share == pytest.approx(trained.train_accuracy)
    jobs, data = study["sisa"], study["sisa"]["prepared"].spec.training.data()
    total = 0
    for number in range(4):
        model = fresh_model(jobs["prepared"].spec.training, 0).eval()
        model.load_state_dict(weights(jobs, "fulfilled" if number in done.hit else "prepared", number, 1))
        with torch.no_grad():
            total = total + model(data.test.batch(slice(None))[0]).softmax(1)
    assert pytest.approx((total.argmax(1) == data.test.targets).double().mean().item()) == done.after.TA
