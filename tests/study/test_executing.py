"""Running jobs in this process: which trainings go together, and what is said where memory runs out."""

from __future__ import annotations

import errno
import shutil
import time

import pytest
import torch

from ungrok.core.errors import StoreError, UngrokError
from ungrok.study import engine, jobs
from ungrok.study.executing import alike, execute
from ungrok.study.manifest import MANIFEST
from ungrok.study.plan import make_plan
from ungrok.study.store import Store
from ungrok.train import Run


def test_only_trainings_on_a_gpu_that_differ_in_seeds_are_alike(tiny, monkeypatch):
    jobs = list(make_plan(tiny("forget=[{kind: class}, {kind: random, size: 9}]")).jobs.values())
    assert alike(jobs) == []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    jobs = list(make_plan(tiny("device=cuda", "forget=[{kind: class}, {kind: random, size: 9}]")).jobs.values())
    shadows = list(make_plan(tiny("device=cuda", "seeds=[0]", "noise_seeds=0", "audit={shadows: 8}")).jobs.values())
    assert [len(group) for group in alike(shadows)] == [8]
    labels = [sorted(job.label for job in group) for group in alike(jobs)]
    assert labels == [
        ["trajectory, base, seed 0", "trajectory, base, seed 1"],
        *(
            [f"without {rule}, base, seed {seed}" for seed in (0, 0, 1)]  # the second of seed 0 is the noise oracle
            for rule in ("class", "random-9")
        ),
    ]


@pytest.mark.parametrize(("kind", "key"), [("train", "trajectory.batch_size"), ("unlearn", "batches.forget")])
def test_out_of_memory_names_the_keys_to_lower(tiny, tmp_path, monkeypatch, kind, key):
    def full(*args):
        raise torch.OutOfMemoryError("tried to allocate 1 GiB")

    monkeypatch.setattr(jobs.KINDS[kind], "run", full)
    with pytest.raises(UngrokError, match=rf"seed 0: the device is out of memory; lower {key}.*1 GiB") as error:
        engine.run(list(make_plan(tiny("seeds=[0]")).jobs.values()), Store(tmp_path), workers=0)
    assert "\n" not in str(error.value)


def test_waiting_counts_as_time_and_not_as_time_of_the_processor(tiny, tmp_path, monkeypatch):
    job = next(job for job in make_plan(tiny("seeds=[0]")).jobs.values() if job.kind == "train")

    def run(self, work):
        time.sleep(0.4)
        started = time.process_time()
        while time.process_time() - started < 0.1:
            pass
        return jobs.trained.TrainResult(status="completed", steps=0, rows=[], checkpoints=[])

    monkeypatch.setattr(jobs.Train, "run", run)
    store = Store(tmp_path)
    store.prepare()
    execute(store, job)
    seconds = store.open(job.key, jobs.Train).seconds
    assert set(seconds) == {"total", "processor"}
    assert seconds["total"] >= 0.5
    assert 0.1 <= seconds["processor"] <= seconds["total"] - 0.3


def test_a_training_whose_sealing_fails_on_a_full_disk_is_not_trained_again(finished, tmp_path, monkeypatch):
    plan, whole = finished
    job = next(job for job in plan.jobs.values() if job.kind == "train")
    store = Store(tmp_path)
    store.prepare()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ungrok.study.store.write_json", full)
        with pytest.raises(StoreError, match="no space left on the device"):
            execute(store, job)
    updates = []
    plain = Run.advance
    monkeypatch.setattr(Run, "advance", lambda run, to: updates.append(to - run.step) or plain(run, to))
    execute(store, job)
    assert sum(updates) == 0
    manifests = [(each.folder(job.key) / MANIFEST).read_bytes() for each in (store, whole)]
    assert manifests[0] == manifests[1]


def test_a_training_that_was_sealed_is_taken_up_without_being_run(finished, tmp_path, monkeypatch):
    plan, whole = finished
    job = next(job for job in plan.jobs.values() if job.kind == "train")
    store = Store(tmp_path)
    store.prepare()
    shutil.copytree(whole.folder(job.key), tmp_path / ".partial" / job.key)
    monkeypatch.setattr(jobs.Train, "run", lambda *_: pytest.fail("it is run"))
    assert engine.pending(store, [job], pytest.fail) == []
    assert store.open(job.key, jobs.Train).result == whole.open(job.key, jobs.Train).result
