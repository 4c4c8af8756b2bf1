"""The rough cost of a study against a sum written out, with known costs of an update and an evaluation."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from ungrok.core.errors import StoreError
from ungrok.study import estimate as module
from ungrok.study.bill import Price
from ungrok.study.estimate import check_disk, estimate, estimates
from ungrok.study.jobs import Train
from ungrok.study.jobs.unlearn import observed
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.search import largest
from ungrok.study.store import Store

TEXT = str(Path(__file__).with_name("tiny-text.yaml"))


@pytest.fixture
def known(monkeypatch):
    """Let an update of a training take as many seconds as it has updates, an evaluation 1,000, and weights 0 bytes."""
    monkeypatch.setattr(module, "_price", lambda run: Price(float(run.training.steps), 1000.0, 0))


def test_unlearning_costs_as_much_as_the_training_that_it_leaves_not_the_base(known):
    recipe = load(TEXT, ["base.steps=40", "base.evaluate_steps=40", "base.checkpoint_from=40"])
    plan = make_plan(recipe)
    *iterative, one_shot = recipe.unlearn
    per_path = [
        m.updates * recipe.trajectory.steps + 1000 * len(observed(m.updates, recipe.observe)) for m in iterative
    ]
    per_path.append(1000 * len(one_shot.doses()))
    paths = plan.counts()["unlearn"] // len(recipe.unlearn)
    assert estimate(plan).seconds["unlearn"] == paths * sum(per_path)


def test_the_most_that_a_search_can_come_to_is_priced_like_its_first_round(known, tiny):
    """Every further rate costs as much as the method's own, which goes on to its budget."""
    recipe = tiny("unlearn=[{kind: gradient_ascent, lr: {auto: 0.05}, updates: 40}]", "search.most=5")
    first, most = estimates([make_plan(recipe), largest(recipe)])
    assert first.seconds["unlearn"] > 0
    assert most.seconds["unlearn"] / first.seconds["unlearn"] == pytest.approx(5 / 3)
    assert most.seconds["train"] == first.seconds["train"]


def test_models_to_be_measured_cost_the_updates_to_the_matched_dose(known, tiny):
    recipe = tiny("analyze=[{kind: weight_norm}]")
    plan = make_plan(recipe)
    specs = [job.spec for job in plan.jobs.values() if job.kind == "snapshot"]
    expected = sum(
        recipe.claims.dose * spec.unlearn.updates * recipe.trajectory.steps
        for spec in specs
        if getattr(spec.unlearn, "updates", None)
    )
    assert estimate(plan).seconds["snapshot"] == expected > 0
    assert not estimate(plan).seconds["analyze"]


def test_every_training_costs_its_updates_and_looks(known, tiny):
    recipe = tiny()
    plan = make_plan(recipe)
    training = recipe.trajectory
    each = training.steps**2 + 1000 * len(training.evaluated())
    assert estimate(plan).seconds["train"] == plan.counts()["train"] * each


def test_checkpoints_hold_what_the_optimizer_keeps(tiny):
    """Weights where a replay can start and at the last step; what the optimizer holds where a replay can start, but for step 0."""
    for kind, moments in (("adamw", 2), ("adam", 2), ("sgd", 1)):
        plan = make_plan(tiny(f"trajectory.optimizer={{kind: {kind}}}"))
        job = next(job for job in plan.jobs.values() if isinstance(job, Train))
        weights = 4 * (64 * 32 + 32 + 32 * 10 + 10)
        training = job.spec.trajectory
        copies = len(training.restarts()) + 1 + moments * (len(training.restarts()) - 1)
        assert len(training.restarts()) > 2
        assert job.bill(module._Prices(plan, module._size)).bytes == copies * weights


def test_a_disk_that_is_too_small_is_noticed(tiny, tmp_path, monkeypatch):
    plan, store, free = make_plan(tiny()), Store(tmp_path / "not" / "yet"), [10**9]
    jobs, asked, total = list(plan.jobs.values()), [], [10**9]
    monkeypatch.setattr(
        module.shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=free[0], total=total[0])
    )
    check_disk(plan, jobs, store)
    assert asked == [tmp_path.resolve()]
    free[0] = module.estimate(plan).bytes - 1
    check_disk(plan, jobs[1:], store)
    with pytest.raises(
        StoreError, match=r"not/yet.: the study's files need about .* MB of disk, and .* are free; name"
    ) as error:
        check_disk(plan, jobs, store)
    assert len(str(error.value)) < 390
    (store.root / ".partial" / jobs[0].key).mkdir(parents=True)
    (store.root / ".partial" / jobs[0].key / "file").write_bytes(b"x")
    check_disk(plan, jobs, store)
    free[0] = total[0] = 0
    check_disk(plan, jobs, store)


def test_an_audit_costs_its_trainings_its_paths_and_an_evaluation_of_every_model(known, tiny):
    plan = make_plan(tiny("audit={shadows: 8, stages: [grokked], unlearn: [scrub]}", "trajectory.replay=1"))
    cost, steps, evaluated = estimate(plan), plan.recipe.trajectory.steps, len(plan.recipe.trajectory.evaluated())
    assert (cost.audit.shadows, cost.audit.unlearned) == (8, 4)
    training = 8 * (steps * steps + 1000 * evaluated)
    replays = 8 * steps / 2 * steps
    assert cost.audit.seconds == pytest.approx(training + replays + 12 * 1000 + 4 * 20 * steps)
    assert cost.audit.kept == cost.audit.bytes == 12 * 2 * 10 * (240 + 1797 - 220)
    assert estimate(make_plan(tiny())).audit is None
