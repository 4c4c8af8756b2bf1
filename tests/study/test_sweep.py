"""A sweep over checkpoints that a user's program made is a study: same code, same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.study.jobs import Trained
from ungrok.study.jobs.trained import again, forget_split, trajectory_of
from ungrok.study.loading import load
from ungrok.study.run import run_study
from ungrok.study.sweep import Sweep, run_sweep
from ungrok.train import materialize

TINY = Path(__file__).with_name("tiny.yaml")
RULE = {"memorized": 0.4, "grokked": 0.7, "min_delay": 1.0}
METHODS = [
    {"kind": "gradient_ascent", "lr": 0.05, "updates": 40},
    {"kind": "scrub", "lr": 0.05, "updates": 20},
    {"kind": "fisher", "alpha": [1.0e-6, 1.0e-3]},
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "tiny"
    return run_study(load(str(TINY), ["noise_seeds=0"]), out, workers=0)


def models(study, key):
    """Return the models of a training of the study at every evaluated step."""
    source = study.store.open(key, Trained)
    trajectory = trajectory_of(source)
    return {int(step): materialize(again(source), trajectory, int(step)).model for step in trajectory.metrics["step"]}


def given(study, seed):
    """Return what a user would have of one seed of the study: checkpoints, those of the retraining, and the sets."""
    plan = study.plan
    key = plan.trajectories["base", seed]
    oracle = plan.jobs[plan.oracles["base", seed, "class", "grokked"]].inputs["trajectory"]
    data = study.store.open(key, Trained).spec.data()
    split = forget_split(data, plan.jobs[oracle].spec.without)
    sets = {
        role: (data.train.inputs[index], data.train.targets[index], index)
        for role, index in (("forget", split.forget), ("retain", split.retain))
    }
    held_out = {name: (part.inputs, part.targets) for name, part in (("test", data.test), ("validation", data.validation))}
    return {"checkpoints": models(study, key), "oracle": models(study, oracle), **sets, **held_out}


@pytest.fixture(scope="module")
def runs(study):
    return {seed: given(study, seed) for seed in (0, 1)}


def by_seed(runs, *without):
    one = runs[0]
    changing = {
        name: (lambda seed, name=name: runs[seed][name]) for name in ("checkpoints", "forget", "retain", "oracle")
    }
    same = {name: one[name] for name in ("test", "validation")}
    settings = {
        "transition": RULE,
        "trajectory": {"optimizer": {"kind": "adamw", "lr": 3e-3}, "batch_size": 60},
        "forget": [{"kind": "given", "name": "class"}],
    }
    every = changing | same | {"methods": METHODS, "seeds": [0, 1], "settings": settings}
    return Sweep(**{name: value for name, value in every.items() if name not in without})


@pytest.fixture(scope="module")
def swept(runs, tmp_path_factory):
    return run_sweep(by_seed(runs), tmp_path_factory.mktemp("sweep") / "mine")


def test_a_sweep_over_the_models_of_a_study_gives_the_verdicts_of_the_study(study, swept):
    assert len(study.verdicts) > 5
    assert [each.to_dict() for each in swept.verdicts] == [each.to_dict() for each in study.verdicts]


def test_and_the_tables_of_the_study(study, swept):
    for name in ("rows", "oracles", "transitions", "curves", "audits"):
        ours, theirs = (getattr(made.results, name) for made in (swept, study))
        assert len(theirs)
        assert ours.equals(theirs), name
