"""When the examples of a forget split were shown and learned: read from the timetable and from the losses of single examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ungrok.core.files import load_tensors
from ungrok.study import engine
from ungrok.study.jobs import Train, Trained, WhenLearned
from ungrok.study.jobs.trained import build_run, forget_split, shown_order
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.results import collect
from ungrok.study.store import Store
from ungrok.train.record import EXAMPLES

TINY = Path(__file__).parents[1] / "tiny.yaml"
OWN = (
    "seeds=[0, 1]",
    "noise_seeds=0",
    "trajectory.exposure={kind: staggered, late: 0.4, share: 0.5, within: class}",
    "stages=[final]",
    "forget=[{kind: exposed, group: late, size: 8}, {kind: exposed, group: early, size: 8}]",
    "unlearn=[{kind: gradient_ascent, lr: 0.05, updates: 4}]",
    "claims={compare: [[{stage: final, forget: late-8}, {stage: final, forget: early-8}]], learned: {epsilon: 0.4, delta: 0.3}}",
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    plan, store = make_plan(load(str(TINY), OWN)), Store(tmp_path_factory.mktemp("store"))
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store


def test_it_counts_what_the_training_showed(done):
    plan, store = done
    for (_, seed, label, _), key in plan.learned.items():
        one, source = store.open(key, WhenLearned), store.open(plan.trajectories["base", seed], Trained)
        split = forget_split(source.spec.data(), one.spec.forget)
        run, data = build_run(source.spec), source.spec.data()
        times, first = torch.zeros(len(data.train)), torch.full((len(data.train),), 1000)
        for step in range(150):
            epoch, place = divmod(step, len(run.batches))
            inputs, _ = next(iter(run.batches.epoch(epoch, place)))
            for example in split.forget:
                count = (inputs == data.train.inputs[example]).flatten(1).all(dim=1).sum()
                times[example] += count
                if count:
                    first[example] = min(first[example], step)
        result = one.result
        assert (
            (result.least_shown, result.most_shown)
            == (times[split.forget].min(), times[split.forget].max())
            == (75, 75)
        )
        assert result.first_shown == first.min()
        assert (result.first_shown >= 60) == label.startswith("late")


def test_it_reads_when_losses_stay_low(done):
    plan, store = done
    for (_, seed, _, _), key in plan.learned.items():
        one, source = store.open(key, WhenLearned), store.open(plan.trajectories["base", seed], Trained)
        losses = load_tensors(source.path / EXAMPLES)["train"].numpy()
        steps = [row["step"] for row in source.result.rows]
        learned = []
        for example in forget_split(source.spec.data(), one.spec.forget).forget.tolist():
            own = losses[:, example]
            low = [own[k] <= 0.4 and abs(own[k] - own[-1]) <= 0.3 for k in range(len(steps))]
            since = next((k for k in range(len(steps)) if all(low[k:])), None)
            learned.append(np.nan if since is None else steps[since])
        assert one.result.persistent_step == pytest.approx(np.where(np.isnan(learned), 150, learned).mean())
        assert one.result.learned == np.isfinite(learned).mean()
        assert one.result.learned > 0
        forget = forget_split(source.spec.data(), one.spec.forget).forget
        assert one.result.base_loss == pytest.approx(losses[0, forget.numpy()].mean())


def test_an_oracle_keeps_the_places_of_what_is_left(done):
    plan, store = done
    (job,) = [job for job in plan.jobs.values() if job.label == "without early-8, base, seed 1"]
    spec, whole = job.spec, plan.job(plan.trajectories["base", 1], Train).spec
    split = forget_split(spec.data(), spec.without)
    own, order = shown_order(spec, split=split), shown_order(whole)
    kept = torch.isin(order, split.retain)
    assert torch.equal(split.retain[own[kept]], order[kept])
    assert store.open(job.key, Train).result.status == "completed"


def test_the_table_has_a_row_per_draw(done):
    table = collect(*done).learned
    assert table[["arm", "seed", "forget", "draw"]].to_numpy().tolist() == [
        ["base", seed, forget, 0] for seed in (0, 1) for forget in ("late-8", "early-8")
    ]
    assert (table["first_shown"] >= 60).tolist() == [True, False, True, False]
