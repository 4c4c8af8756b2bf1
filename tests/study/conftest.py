"""A study of a few seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ungrok.study import engine
from ungrok.study.loading import load
from ungrok.study.plan import Plan, make_plan
from ungrok.study.recipe import Recipe
from ungrok.study.store import Store

TINY = Path(__file__).with_name("tiny.yaml")
ONE_SEED = ("seeds=[0]", "trajectory.steps=100", "analyze=[{kind: weight_norm}]")


@pytest.fixture
def tiny() -> Callable[..., Recipe]:
    """Return a function that loads the tiny recipe with overrides."""
    return lambda *overrides: load(str(TINY), overrides)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store]:
    """Return the plan of a study of one seed, and the store that holds all its jobs."""
    plan, store = make_plan(load(str(TINY), ONE_SEED)), Store(tmp_path_factory.mktemp("store"))
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store
