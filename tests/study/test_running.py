"""A store is pruned while no study runs on it, and a study starts while nobody prunes."""

from __future__ import annotations

import threading

import pytest

from ungrok.core.errors import StoreError
from ungrok.study import engine
from ungrok.study.plan import make_plan
from ungrok.study.running import RUNNING, at_rest, running
from ungrok.study.store import LOCKS, Store


def test_nothing_is_pruned_while_jobs_run_and_a_process_that_died_is_no_study(tmp_path):
    store = Store(tmp_path)
    with running(store):
        with pytest.raises(StoreError, match="a study runs on it; prune it when that has ended"), at_rest(store):
            pass
        with running(store):
            pass
        with pytest.raises(StoreError, match="a study runs on it"), at_rest(store):
            pass
    (store.root / LOCKS / f"{RUNNING}dead").touch()
    with at_rest(store):
        assert list((store.root / LOCKS).glob(f"{RUNNING}*")) == []


def test_a_study_starts_once_pruning_has_ended(tmp_path):
    store, order = Store(tmp_path), []
    store.prepare()

    def study():
        with running(store):
            order.append("study")

    other = threading.Thread(target=study)
    with at_rest(store):
        other.start()
        other.join(0.2)
        order.append("pruned")
    other.join()
    assert order == ["pruned", "study"]


def test_a_study_holds_its_store_between_rounds_and_not_after(tiny, tmp_path):
    store, seen = Store(tmp_path), []
    job = next(iter(make_plan(tiny("trajectory.steps=20")).jobs.values()))

    def more():
        with pytest.raises(StoreError, match="a study runs on it"), at_rest(store):
            pass
        seen.append(store.has(job.key))
        return []

    assert engine.run([job], store, workers=0, more=more) == 1
    assert seen == [True]
    with at_rest(store):
        pass
