"""The rough cost of a study against a sum written out, with known costs of an update and an evaluation."""

from pathlib import Path

import pytest

from ungrok.study import estimate as module
from ungrok.study.bill import Price
from ungrok.study.estimate import estimate
from ungrok.study.jobs.unlearn import observed
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.preflight import preflight

TEXT = str(Path(__file__).with_name("tiny-text.yaml"))


@pytest.fixture
def known(monkeypatch):
    """Let an update of a training take as many seconds as it has updates, an evaluation 1,000, and weights 0 bytes."""
    monkeypatch.setattr(module, "_price", lambda run: Price(float(run.training.steps), 1000.0, 0))


def test_unlearning_costs_as_much_as_the_training_that_it_leaves_not_the_base(known):
    recipe = load(TEXT, ["base.steps=40", "base.evaluate_steps=40", "base.checkpoint_from=40"])
    data, _ = preflight(recipe)
    plan = make_plan(recipe)
    *iterative, one_shot = recipe.unlearn
    per_path = [
        m.updates * recipe.trajectory.steps + 1000 * len(observed(m.updates, recipe.observe)) for m in iterative
    ]
    per_path.append(1000 * len(one_shot.doses()))
    paths = plan.counts()["unlearn"] // len(recipe.unlearn)
    assert estimate(plan, data).seconds["unlearn"] == paths * sum(per_path)


def test_models_to_be_measured_cost_the_updates_to_the_matched_dose(known, tiny):
    recipe = tiny("analyze=[{kind: weight_norm}]")
    data, _ = preflight(recipe)
    plan = make_plan(recipe)
    specs = [job.spec for job in plan.jobs.values() if job.kind == "snapshot"]
    expected = sum(
        recipe.claims.dose * spec.unlearn.updates * recipe.trajectory.steps
        for spec in specs
        if getattr(spec.unlearn, "updates", None)
    )
    assert estimate(plan, data).seconds["snapshot"] == expected > 0
    assert not estimate(plan, data).seconds["analyze"]


def test_every_training_costs_its_updates_and_looks(known, tiny):
    recipe = tiny()
    data, _ = preflight(recipe)
    plan = make_plan(recipe)
    training = recipe.trajectory
    each = training.steps**2 + 1000 * len(training.evaluated())
    assert estimate(plan, data).seconds["train"] == plan.counts()["train"] * each
