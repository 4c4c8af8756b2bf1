"""Small studies whose jobs are tested one by one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ungrok.study import engine
from ungrok.study.jobs import Checkpoint
from ungrok.study.jobs.trained import build_run
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.results import collect
from ungrok.study.store import Store

TINY = Path(__file__).parents[1] / "tiny.yaml"
OVERRIDES = [
    "seeds=[0]",
    "noise_seeds=0",
    "arms.wide={model: {width: 48}, trajectory: {loss: mse}, stages: [final, as-long, as-accurate, impossible]}",
    "controls.as-long={kind: matched, stage: grokked, equal: updates, tolerance: 0}",
    "controls.as-accurate={kind: matched, stage: grokked, equal: test_accuracy, tolerance: 0.1}",
    "controls.impossible={kind: matched, stage: pre_grok, equal: weight_norm, tolerance: 0.001}",
    "controls.louder={kind: rescaled, stage: grokked, factor: 4}",
    "stages=[pre_grok, grokked, louder]",
    "analyze=[{kind: weight_norm, after: false}, {kind: gradient_alignment, examples: 60, draws: 2, layers: false, after: false}]",
    "claims.compare=[[pre_grok, grokked], [grokked, louder], [grokked, {arm: wide, stage: as-accurate}]]",
]


@pytest.fixture(scope="session")
def controlled():
    """Return a function that loads a recipe with matched and rescaled checkpoints, with overrides."""
    return lambda *more: load(str(TINY), [*OVERRIDES, *more])


@pytest.fixture(scope="session")
def study(controlled, tmp_path_factory):
    """Return plan, store and results of it."""
    store, plan = Store(tmp_path_factory.mktemp("store")), make_plan(controlled())
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store, collect(plan, store)


@pytest.fixture(scope="session")
def opened(study):
    """Return a function that opens the job of an arm's stage."""
    plan, store, _ = study
    return lambda arm, stage: store.open(plan.stages[arm, 0, stage], Checkpoint)


@pytest.fixture(scope="session")
def model_of():
    """Return a function that builds the run of a kept model."""

    def build(finished):
        run = build_run(finished.result.training)
        run.model.load_state_dict(finished.tensors("model.safetensors"))
        return run

    return build


@pytest.fixture
def elsewhere():
    """Return a function that copies a store but for some jobs, which are then to be made again, by another process."""

    def copied(store, folder, keys):
        shutil.copytree(store.root, folder, dirs_exist_ok=True)
        for key in keys:
            shutil.rmtree(folder / key)
        return Store(folder)

    return copied
