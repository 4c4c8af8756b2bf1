"""Crashes, damage and different numbers of workers must not change a byte of a result."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ungrok import audit
from ungrok.core.errors import DamagedFile, StoreError, WorkersLost
from ungrok.core.files import load_tensors
from ungrok.data.batches import TensorBatches
from ungrok.evaluate.catalog import metrics
from ungrok.evaluate.displacement import DISPLACEMENTS
from ungrok.evaluate.membership import ATTACKS
from ungrok.evaluate.places import FIGURES
from ungrok.study import engine, jobs, outputs, problem_data
from ungrok.study.claims import judge
from ungrok.study.jobs.trained import build_run
from ungrok.study.jobs.unlearn import walk
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.results import KEYS, collect
from ungrok.study.store import Store
from ungrok.train.record import checkpoint_name

TINY = Path(__file__).with_name("tiny.yaml")


def run(recipe, store: Path, **options) -> int:
    return engine.run(list(make_plan(recipe).jobs.values()), Store(store), **{"workers": 0, **options})


def table(recipe, store: Path, out: Path) -> bytes:
    plan = make_plan(recipe)
    results = collect(plan, Store(store))
    outputs.write_tables(out, plan, results, judge(results.rows, plan.recipe, outputs.doses_of(plan, Store(store))), {})
    return (out / "results.parquet").read_bytes() + (out / "audits.parquet").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """Return the store of the tiny study, run in this process."""
    root = tmp_path_factory.mktemp("undisturbed")
    run(load(str(TINY)), root / "store")
    return root / "store"


def test_a_second_run_finds_everything_done(tiny, undisturbed):
    assert run(tiny(), undisturbed) == 0


def test_changed_claims_train_and_unlearn_nothing(tiny, undisturbed):
    before = make_plan(tiny())
    for override, kinds in (
        ("claims.alpha=0.1", set()),
        ("claims.dose=0.5", set()),
        ("claims.targets=[0.3]", {"evaluate"}),
    ):
        plan = make_plan(tiny(override))
        assert {job.kind for key, job in plan.jobs.items() if key not in before.jobs} == kinds


def test_studies_share_equal_jobs(tiny):
    small, large = (make_plan(tiny(f"seeds={seeds}", "noise_seeds=0")).jobs for seeds in ("[0]", "[0, 7]"))
    assert set(small) < set(large)
    more = make_plan(tiny("seeds=[0]", "noise_seeds=0", "stages=[pre_grok, grokked, final]")).jobs
    assert set(small) < set(more)


def test_workers_do_not_change_a_byte(tiny, undisturbed, tmp_path):
    """With one worker see :func:`test_all_rounds_run_on_one_cluster`."""
    expected = table(tiny(), undisturbed, tmp_path / "0")
    assert run(tiny(), tmp_path / "store", workers=2) == len(make_plan(tiny()).jobs)
    assert table(tiny(), tmp_path / "store", tmp_path / "2") == expected


def in_two_rounds(recipe):
    """Return the jobs of a study without paths, and those of the paths."""
    jobs = list(make_plan(recipe).jobs.values())
    paths = [job for job in jobs if job.kind in ("unlearn", "evaluate")]
    return [job for job in jobs if job not in paths], paths


def test_all_rounds_run_on_one_cluster(tiny, undisturbed, tmp_path, monkeypatch):
    recipe, started, connected = tiny("seeds=[0]", "noise_seeds=0"), [], engine.connected
    first, second = in_two_rounds(recipe)
    monkeypatch.setattr(
        engine, "connected", lambda *words, **more: started.append(words[0]) or connected(*words, **more)
    )
    rounds = [second, []]
    store = tmp_path / "store"
    count = engine.run(first, Store(store), workers=1, more=lambda: rounds.pop(0))
    assert (count, started, rounds) == (len(first) + len(second), [1], [])
    run(recipe, undisturbed)
    assert table(recipe, store, tmp_path / "a") == table(recipe, undisturbed, tmp_path / "b")


def test_a_file_that_is_damaged_between_rounds_is_made_again(tiny, tmp_path):
    first, second = in_two_rounds(tiny("seeds=[0]", "noise_seeds=0"))
    store, said, asked = Store(tmp_path), [], []
    stage = next(job for job in first if job.kind == "stage")

    def more():
        asked.append(len(asked))
        if asked == [0]:
            path = store.folder(stage.key) / "result.json"
            path.write_bytes(path.read_bytes()[:-1])
        return second if asked == [0] else []

    assert engine.run(first, store, workers=0, more=more, say=said.append) == len(first) + len(second)
    assert engine.pending(store, [*first, *second], said.append) == []
    (line,) = said
    assert line.endswith(f"making {stage.label} again")
    assert asked == [0, 1]


def test_an_existing_cluster_gives_the_same_bytes(tiny, undisturbed, tmp_path):
    from dask.distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0", silence_logs=50) as cluster:
        run(tiny("seeds=[0]"), tmp_path / "store", scheduler=cluster.scheduler_address)
    run(tiny("seeds=[0]"), undisturbed)
    expected = table(tiny("seeds=[0]"), undisturbed, tmp_path / "a")
    assert table(tiny("seeds=[0]"), tmp_path / "store", tmp_path / "b") == expected


def _study(out: Path, *more: str, workers: int = 1) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "ungrok.cli", "study", str(TINY), *more, "--out", str(out)]
    words += ["--workers", str(workers)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def _wait_for_training(store: Path) -> None:
    """Return once a training has kept a checkpoint and goes on."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if list(store.glob(".partial/train-*/progress.json")):
            return
        time.sleep(0.02)
    raise AssertionError("no training started")


def _workers(parent: int) -> list[int]:
    """Return the processes below ``parent`` that run dask workers, by their command lines."""
    numbers = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            command = stat.with_name("cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == parent and "spawn_main" in command:
            numbers.append(int(stat.parent.name))
    return numbers


ONE = ("seeds=[0]", "noise_seeds=0")
LONG = (*ONE, "trajectory.steps=2000", "model.width=128")
KILLS = int(os.environ.get("UNGROK_KILLS", "1"))


@pytest.fixture(scope="module")
def long_table(tmp_path_factory) -> bytes:
    root = tmp_path_factory.mktemp("long")
    recipe = load(str(TINY), LONG)
    run(recipe, root / "store")
    return table(recipe, root / "store", root / "out")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes through /proc")
@pytest.mark.parametrize("victim", ["worker", "study"])
def test_kill_9_in_mid_training_changes_nothing(victim, long_table, tmp_path):
    out = tmp_path / "out"
    study = _study(out, *LONG)
    _wait_for_training(tmp_path / "store")
    if victim == "worker":
        (worker,) = _workers(study.pid)
        os.kill(worker, signal.SIGKILL)
    else:
        os.kill(study.pid, signal.SIGKILL)
        study.communicate(timeout=60)
        assert not (out / "results.parquet").exists()
        study = _study(out, *LONG)
    said, _ = study.communicate(timeout=240)
    assert study.returncode == 0, said
    assert (out / "results.parquet").read_bytes() + (out / "audits.parquet").read_bytes() == long_table


@contextmanager
def _load() -> Iterator[None]:
    """Keep every processor busy with another process."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(engine.default_workers())]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes through /proc")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(KILLS))
def test_every_worker_is_killed_twice_at_any_moment(seed, long_table, tmp_path):
    """A worker is killed while it starts, imports, or works, and so is the one that takes its place.

    Under UNGROK_KILLS, which asks for more moments, all of it is slowed down by other processes.
    """
    draw, out = random.Random(seed), tmp_path / "out"
    turn: dict[int, int] = {}  # by process: which it is of those that took the same worker's place, from 1
    when: dict[int, float] = {}
    awaited: list[int] = []  # turns of the processes that will come
    store = Store(tmp_path / "store")
    store.prepare()
    last = list(make_plan(load(str(TINY), LONG)).jobs)[-1]
    busy, longest = (_load(), 8) if KILLS > 1 else (nullcontext(), 4)
    with busy, store.lock(last):  # the study cannot end before
        study, killed = _study(out, *LONG, workers=2), 0
        while killed < 4 and study.poll() is None:
            for worker in _workers(study.pid):
                if worker not in turn:
                    turn[worker] = awaited.pop(0) if awaited else 1
                    when[worker] = time.monotonic() + draw.uniform(0, longest)
                if turn[worker] <= 2 and time.monotonic() > when[worker]:
                    os.kill(worker, signal.SIGKILL)
                    awaited.append(turn[worker] + 1)
                    turn[worker] = 3
                    killed += 1
            time.sleep(0.05)
        assert killed == 4, study.communicate()[0]
    said, _ = study.communicate(timeout=300)
    assert study.returncode == 0, said
    assert "Traceback" not in said
    assert (out / "results.parquet").read_bytes() + (out / "audits.parquet").read_bytes() == long_table


def test_a_damaged_checkpoint_is_named_and_made_again(tiny, undisturbed, tmp_path):
    expected = table(tiny(), undisturbed, tmp_path / "before")
    job = next(job for job in make_plan(tiny()).jobs.values() if job.kind == "train")
    victim = Store(undisturbed).folder(job.key) / checkpoint_name(job.spec.trajectory.restarts()[1])
    content = bytearray(victim.read_bytes())
    content[-5] ^= 1
    victim.write_bytes(content)
    said: list[str] = []
    assert run(tiny(), undisturbed, say=said.append) == 1
    assert any(str(victim) in line and job.label in line for line in said)
    assert victim.read_bytes() != bytes(content)
    assert table(tiny(), undisturbed, tmp_path / "after") == expected


@pytest.mark.parametrize("repaired", [True, False])
def test_two_studies_may_find_the_same_damage(tiny, undisturbed, tmp_path, monkeypatch, repaired):
    """Between the check of one and its discard, the other discards the job, and makes it again or not yet."""
    expected = table(tiny(), undisturbed, tmp_path / "before")
    job = next(job for job in make_plan(tiny()).jobs.values() if job.kind == "train")
    victim = Store(undisturbed).folder(job.key) / checkpoint_name(job.spec.trajectory.restarts()[1])
    victim.write_bytes(victim.read_bytes()[:-1])
    real, others = Store.check, []

    def check(self, key):
        try:
            real(self, key)
        except DamagedFile:
            monkeypatch.setattr(Store, "check", real)
            others.append(run(tiny(), undisturbed) if repaired else Store(undisturbed).discard(job.key))
            raise

    monkeypatch.setattr(Store, "check", check)
    said: list[str] = []
    assert run(tiny(), undisturbed, say=said.append) == (0 if repaired else 1)
    assert others == [1 if repaired else None]
    assert said == []
    assert table(tiny(), undisturbed, tmp_path / "after") == expected


def test_two_studies_at_once_repair_what_both_find_damaged(tiny, tmp_path):
    run(tiny(*ONE), tmp_path / "store")
    expected = table(tiny(*ONE), tmp_path / "store", tmp_path / "before")
    for path in tmp_path.glob("store/*/result.json"):
        path.write_bytes(path.read_bytes()[:-1])
    studies = [_study(tmp_path / name, *ONE) for name in "ab"]
    for study in studies:
        said, _ = study.communicate(timeout=240)
        assert study.returncode == 0, said
    for name in "ab":
        tables = [(tmp_path / name / f"{each}.parquet").read_bytes() for each in ("results", "audits")]
        assert b"".join(tables) == expected


def test_one_job_s_folder_in_the_place_of_another_s_is_made_again(tiny, undisturbed, tmp_path):
    expected = table(tiny(), undisturbed, tmp_path / "before")
    first, second = [job for job in make_plan(tiny()).jobs.values() if job.kind == "evaluate"][:2]
    store = Store(undisturbed)
    shutil.rmtree(store.folder(second.key))
    shutil.copytree(store.folder(first.key), store.folder(second.key))
    said: list[str] = []
    assert run(tiny(), undisturbed, say=said.append) == 1
    assert any("job.json: describes another job; making" in line and second.label in line for line in said)
    assert table(tiny(), undisturbed, tmp_path / "after") == expected


def test_a_scheduler_that_goes_away_ends_the_study(tiny, tmp_path):
    from dask.distributed import LocalCluster

    with LocalCluster(n_workers=0, processes=False, dashboard_address=":0", silence_logs=50) as cluster:
        gone = threading.Timer(2.0, cluster.close)
        gone.start()
        with pytest.raises(WorkersLost, match="the dask scheduler is gone"):
            run(tiny("seeds=[0]"), tmp_path / "store", scheduler=cluster.scheduler_address)
        gone.join()


def test_a_full_disk_leaves_the_store_readable(tiny, undisturbed, tmp_path, monkeypatch):
    from ungrok.train import record

    recipe, real, calls = tiny(), record.save_packed, []

    def full(path, tensors, **more):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, tensors, **more)

    monkeypatch.setattr(record, "save_packed", full)
    with pytest.raises(StoreError, match=r"trajectory, base, seed 0: .*no space left on the device"):
        run(recipe, tmp_path / "store")
    assert run(recipe, tmp_path / "store") == len(make_plan(recipe).jobs)
    assert table(recipe, tmp_path / "store", tmp_path / "a") == table(recipe, undisturbed, tmp_path / "b")


def test_a_diverging_study_is_recorded_not_crashed(tiny, tmp_path):
    recipe = tiny("seeds=[0]", "trajectory.optimizer={kind: sgd, lr: 1e30}", "trajectory.batch_size=null")
    run(recipe, tmp_path / "store")
    plan = make_plan(recipe)
    results = collect(plan, Store(tmp_path / "store"))
    assert results.transitions["status"].tolist() == ["diverged"]
    assert results.rows.empty
    verdicts = judge(results.rows, plan.recipe, outputs.doses_of(plan, Store(tmp_path / "store")))
    assert {v.word for v in verdicts} == {"exploratory"}


def test_a_diverging_path_is_recorded_not_crashed(tiny, tmp_path):
    recipe = tiny("seeds=[0]", "unlearn=[{kind: gradient_ascent, lr: 1e20, updates: 5}]")
    run(recipe, tmp_path / "store")
    rows = collect(make_plan(recipe), Store(tmp_path / "store")).rows
    assert rows.groupby("stage")["diverged"].last().all()
    assert rows[rows["diverged"]]["UA"].isna().all()
    assert not rows[rows["diverged"]]["reached_0.1"].any()


@pytest.mark.parametrize("workers", [0, 1])
def test_trained_together_or_apart(tiny, undisturbed, tmp_path, monkeypatch, workers):
    """The jobs of a pack are found finished by the jobs themselves; results differ by rounding only."""
    monkeypatch.setattr(engine, "alike", lambda jobs: [[job for job in jobs if job.label.startswith("trajectory")]])
    if workers == 0:
        monkeypatch.setattr("ungrok.study.executing.faster_together", lambda runs: True)
    run(tiny(), tmp_path, workers=workers)
    packed, single = (collect(make_plan(tiny()), Store(store)).curves for store in (tmp_path, undisturbed))
    assert packed.equals(single) == (workers == 1)  # a worker has a CPU, on which nothing is packed
    assert (packed["train_loss"] - single["train_loss"]).abs().max() < 1e-3
    assert (packed["step"] == single["step"]).all()


def test_a_pack_too_large_for_the_device_is_trained_one_by_one(tiny, undisturbed, tmp_path, monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("tried to allocate 1 GiB")

    monkeypatch.setattr(engine, "alike", lambda jobs: [[job for job in jobs if job.label.startswith("trajectory")]])
    monkeypatch.setattr("ungrok.study.executing.faster_together", lambda runs: True)
    monkeypatch.setattr("ungrok.study.executing.advance_together", full)
    run(tiny(), tmp_path)
    plan = make_plan(tiny())
    assert collect(plan, Store(tmp_path)).curves.equals(collect(plan, Store(undisturbed)).curves)


def test_an_oracle_is_augmented_as_its_trajectory_is(tiny, monkeypatch):
    from ungrok.data.augment import Augment
    from ungrok.data.digits import Digits

    monkeypatch.setattr(Digits, "augmentation", lambda self: Augment(pad=1))
    monkeypatch.setattr(problem_data, "_loaded", {})
    specs = [job.spec for job in make_plan(tiny()).jobs.values() if job.kind == "train"]
    runs = [build_run(spec) for spec in specs]
    assert {spec.without is None for spec in specs} == {True, False}
    assert all(run.batches.augment == Augment(pad=1) for run in runs)


def test_every_path_is_audited_at_its_end(tiny, undisturbed, tmp_path):
    plan = make_plan(tiny())
    results = collect(plan, Store(undisturbed))
    rows, audits = results.rows, results.audits
    assert len(audits) == len(plan.paths)
    ends = rows.groupby(KEYS, sort=False).tail(1).reset_index(drop=True)
    for name in (*KEYS, "dose", "updates", "UA", "RA", "TA", "oracle_gap", "forget_passes", "retain_passes"):
        pd.testing.assert_series_equal(audits[name], ends[name])
    np.testing.assert_array_equal(audits["loss_auc"], ends["membership_auc"])
    np.testing.assert_array_equal(audits["oracle_loss_auc"], ends["oracle_membership_auc"])
    # The same attack on the oracle, whatever method it stands beside.
    assert (audits.groupby(["seed", "stage"])["oracle_svc_auc"].nunique() == 1).all()
    outputs.write_tables(tmp_path, plan, results, [], {})
    written = pd.read_csv(tmp_path / "audits.csv")
    pd.testing.assert_frame_equal(written, pd.read_parquet(tmp_path / "audits.parquet"), check_dtype=False)


def test_passes_over_the_data_are_the_method_s(tiny, undisturbed):
    """40 updates on one batch of all forget data are 40 passes; fisher reads the retained data once."""
    audits = collect(make_plan(tiny()), Store(undisturbed)).audits.groupby("method")[["forget_passes", "retain_passes"]]
    cost = audits.first()
    assert cost.loc["gradient_ascent"].tolist() == [40, 0]
    assert cost.loc["fisher"].tolist() == [0, 1]


def test_an_audit_is_made_from_the_models_themselves(tiny, undisturbed):
    """Walk one path again to its end, and compare the models there through the library for models of one's own."""
    plan = make_plan(tiny())
    store = Store(undisturbed)
    cell = next(c for c in plan.paths if (c.method, c.stage) == ("scrub", "grokked"))
    source = store.open(plan.stages[cell.arm, cell.seed, cell.stage], jobs.Checkpoint)
    weights, spec = load_tensors(source.path / "model.safetensors"), plan.jobs[cell.path].spec
    walked = walk(source.result.training, weights, spec)
    tensors, end = walked.tensors, walked.end
    oracle = build_run(source.result.training)
    oracle.model.load_state_dict(
        store.open(plan.oracles[cell.arm, cell.seed, cell.forget, cell.stage], jobs.Oracle).tensors("model.safetensors")
    )
    start = build_run(source.result.training)
    start.model.load_state_dict(weights)
    data = oracle.data
    parts = {"forget": data.train.of(tensors["forget"]), "retain": data.train.of(tensors["retain"]), "test": data.test}
    report = audit(
        start.model, end, **{role: TensorBatches(part, 64) for role, part in parts.items()}, oracle=oracle.model,
        objective=oracle.objective, seed=spec.seed,
    )  # fmt: skip
    table = collect(plan, store).audits
    (row,) = table[(table[["seed", "stage", "method"]] == [cell.seed, cell.stage, cell.method]).all(axis=1)].to_dict(
        "records"
    )
    assert row["tug_of_war"] == pytest.approx(report.tug_of_war)
    assert row["relative_forgetting"] == pytest.approx(report.relative_forgetting)
    for name, value in report.distances["oracle"].items():
        if name != "weight_distance":
            assert row[name] == pytest.approx(value, abs=1e-6)
    for prefix, model in (("", "unlearned"), ("oracle_", "oracle")):
        for name in ("loss", "confidence", "entropy", "modified_entropy"):
            assert row[f"{prefix}{name}_auc"] == pytest.approx(report.membership[model][name].auc, abs=0.002)


def test_every_column_is_a_listed_metric(tiny, undisturbed):
    results, listed = collect(make_plan(tiny()), Store(undisturbed)), metrics()
    of_attacks = {f"{name}_{figure}": f"membership {name}" for name in ATTACKS for figure in FIGURES}
    of_places = {
        *KEYS,
        "dose",
        "updates",
        "diverged",
        "members",
        "non_members",
        "pairs",
        "forget_passes",
        "retain_passes",
        *DISPLACEMENTS,
        "oracle_floor",
    }
    for column in {*results.rows, *results.audits} - of_places - {"oracle_gap"}:
        name = column.removeprefix("oracle_").removesuffix("_forget").removesuffix("_test")
        name = "reached_<target>" if name.startswith("reached_") else of_attacks.get(name, name)
        assert name in listed, column
    assert {"forget_passes, retain_passes", "oracle_gap", "moved_forget, moved_retain"} <= listed.keys()
