"""Attacks on the models of a study."""

from pathlib import Path

import pytest
import torch

from ungrok.audits import attacked
from ungrok.audits.scoring import NUMBERS, Scorer
from ungrok.core.gradients import trainable
from ungrok.core.modules import duplicate
from ungrok.core.weights import whole
from ungrok.study import engine
from ungrok.study.bill import Bill, Price
from ungrok.study.job import Job
from ungrok.study.jobs import Checkpoint, Evaluate, Lasting, Placed, Stress, Unlearn
from ungrok.study.jobs.checkpoint import weights_of
from ungrok.study.jobs.stress import StressSpec, loaded, material, scorer
from ungrok.study.jobs.trained import build_run, forget_split
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.store import Store
from ungrok.train.speed import UnlearningSpeed

TINY = Path(__file__).parents[1] / "tiny.yaml"
RELEARN = "{kind: relearn, shares: [0, 0.2], lr: [0.01, 0.02], updates: 4, observe: [1, 4]}"
ATTACKED = (
    "seeds=[0]", "unlearn=[{kind: gradient_ascent, lr: 0.05, updates: 40}]",
    f"stress.attacks=[{RELEARN}, {{kind: interpolate, to: oracle, parts: 2}}, {{kind: quantize}}]", "stress.places=[0.1, end]",
)  # fmt: skip


@pytest.fixture(scope="module")
def attacks(tmp_path_factory):
    """Return plan and store of a study that attacks."""
    plan, store = make_plan(load(str(TINY), ATTACKED)), Store(tmp_path_factory.mktemp("store"))
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store


def rows_of(attacks, attack, subject, place=None, stage="grokked"):
    plan, store = attacks
    (one,) = (
        each
        for each in plan.stress
        if (each.attack, each.subject, each.place, each.stage) == (attack, subject, place, stage)
    )
    return store.open(one.rows, Stress).result.rows


def test_what_is_frozen_in_one_model_is_frozen_in_all(attacks):
    """Each of them is loaded into a copy of the original's."""
    plan, store = attacks
    models = {one.model for one in plan.stress if one.attack == "relearn"}
    run = build_run(store.open(next(iter(plan.stages.values())), Checkpoint).result.training)
    run.model[1].requires_grad_(requires_grad=False)
    trained = [set(trainable(loaded(run.model, weights_of(store.open(key, Job))))) for key in models]
    assert len(trained) > 3
    assert all(names == set(trainable(run.model)) for names in trained)
    assert set(trainable(run.model)) < {name for name, _ in run.model.named_parameters()}


@pytest.mark.parametrize("place", ["0.1", "end"])
def test_before_the_first_update_an_attacked_place_has_the_numbers_of_the_path(attacks, place):
    plan, store = attacks
    (one,) = (each for each in plan.stress if (each.attack, each.place, each.stage) == ("relearn", place, "grokked"))
    dose = store.open(one.model, Placed).result.dose
    (path,) = (each for each in plan.paths if each.stage == "grokked")
    (there,) = (row for row in store.open(path.rows, Evaluate).result.rows if row["dose"] == dose)
    assert (there["reached_0.1"], dose == 40) == (True, place == "end")
    first = [row for row in rows_of(attacks, "relearn", "unlearned", place) if row["dose"] == 0 and row["share"] == 0]
    assert len(first) == 2
    for row in first:
        assert {name: row[name] for name in NUMBERS} == {name: there[name] for name in NUMBERS}


def test_the_oracle_and_the_second_oracle_are_attacked_and_the_oracle_is_no_further_than_itself(attacks):
    for attack in ("relearn", "quantize", "interpolate_oracle"):
        oracle, second = (rows_of(attacks, attack, subject) for subject in ("oracle", "oracle_2"))
        places = ("setting", "share", "lr", "dose", "updates")
        assert [[row[name] for name in places] for row in oracle] == [[row[name] for name in places] for row in second]
        assert oracle != second
    ends = rows_of(attacks, "interpolate_oracle", "oracle")
    assert {tuple(row[name] for name in NUMBERS) for row in ends} == {tuple(ends[0][name] for name in NUMBERS)}
    assert [row["dose"] for row in ends] == [0, 0.5, 1]
    far = rows_of(attacks, "interpolate_oracle", "unlearned", "end")
    assert (
        [far[-1][name] for name in NUMBERS] == [ends[0][name] for name in NUMBERS] != [far[0][name] for name in NUMBERS]
    )


def test_it_is_the_attack_on_the_model_itself(attacks):
    """Read by another scorer, which passes over the sets one by one."""
    plan, store = attacks
    (one,) = (each for each in plan.stress if (each.attack, each.place, each.stage) == ("relearn", "0.1", "grokked"))
    job = plan.job(one.rows, Stress)
    original, placed = (store.open(job.inputs[role], Checkpoint) for role in ("original", "model"))
    run = build_run(original.result.training)
    model = duplicate(run.model)
    model.load_state_dict(whole(model, weights_of(placed)))
    own = material(run, forget_split(run.data, job.spec.forget), job.spec.seed)
    expected = attacked(job.spec.test, model, own, Scorer(own))
    rows = store.open(one.rows, Stress).result.rows
    assert len(rows) == len(expected) == 2 * 2 * 3
    for row, other in zip(rows, expected, strict=True):
        exact = (
            "kind",
            "setting",
            "share",
            "lr",
            "dose",
            "dose_name",
            "updates",
            "UA",
            "RA",
            "TA",
            "bystander_accuracy",
        )
        assert [row[name] for name in exact] == [other[name] for name in exact]
        assert row["forget_loss"] == pytest.approx(other["forget_loss"], rel=1e-5)
        assert "attack" not in row


def test_all_models_of_a_seed_are_attacked_with_the_same_examples(attacks):
    plan, _ = attacks
    specs = {one.attack: set() for one in plan.stress}
    for one in plan.stress:
        job = plan.job(one.rows, Stress)
        specs[one.attack].add((job.spec.seed, str(job.spec.forget.spec())))
    assert [len(own) for own in specs.values()] == [1, 1, 1]


def test_ua_is_read_on_the_examples_that_the_attacker_does_not_hold(attacks):
    plan, store = attacks
    stage = store.open(plan.stages["base", 0, "grokked"], Checkpoint)
    run = build_run(stage.result.training)
    split = forget_split(run.data, plan.job(plan.stress[0].rows, Stress).spec.forget)
    train = run.data.train.score(run.model, run.objective, 64)
    right = train.predictions == train.targets
    held_back = torch.tensor([0, 2])
    numbers = scorer(run, split)(run.model, held_back)
    assert numbers["UA"] == right[split.forget[held_back]].double().mean().item()
    assert numbers["RA"] == right[split.retain].double().mean().item()


def test_a_model_that_is_not_there_is_not_attacked(attacks, tmp_path):
    overrides = ("transition.grokked=0.99", "stress.attacks=[{kind: quantize}]")
    plan, store = make_plan(load(str(TINY), [*ATTACKED, *overrides])), Store(tmp_path)
    engine.run(list(plan.jobs.values()), store, workers=0)
    lacking = [one for one in plan.stress if one.stage == "grokked"]
    assert {one.subject for one in lacking} == {"unlearned", "original", "oracle", "oracle_2"}
    for one in lacking:
        result = store.open(one.rows, Stress).result
        assert result.rows == []
        assert result.reason


def test_equal_specs_give_equal_bytes_whoever_runs_them(attacks, elsewhere, tmp_path):
    plan, here = attacks
    there = elsewhere(here, tmp_path, [one.rows for one in plan.stress])
    engine.run(list(plan.jobs.values()), there, workers=1)
    assert len({one.rows for one in plan.stress}) == len(plan.stress) == 2 * 5 * 3
    for one in plan.stress:
        assert (here.folder(one.rows) / "result.json").read_bytes() == (
            there.folder(one.rows) / "result.json"
        ).read_bytes()
    assert engine.run(list(plan.jobs.values()), there, workers=0) == 0


def test_a_method_that_goes_back_along_the_training_is_walked_again_and_searched(tmp_path):
    """Its place and its search take the trajectory from which the path was walked."""
    overrides = (
        "seeds=[0]",
        "noise_seeds=0",
        "unlearn=[{kind: rewind_to_delete, share: 0.5}]",
        "lasting={updates: 2, lr: 0.02}",
    )
    attack = ("stress={attacks: [{kind: quantize, bits: 8}], places: [end]}",)
    plan, store = make_plan(load(str(TINY), [*overrides, *attack])), Store(tmp_path)
    engine.run(list(plan.jobs.values()), store, workers=0)
    ends = {one.stage: store.open(one.rows, Stress).result.rows[0] for one in plan.stress if one.place == "end"}
    assert ends.keys() == {"pre_grok", "grokked"}
    for path in plan.paths:
        last = store.open(path.rows, Evaluate).result.rows[-1]
        assert {name: ends[path.stage][name] for name in NUMBERS} == {name: last[name] for name in NUMBERS}
    searched = [store.open(one.rows, Lasting).result for one in plan.lasting]
    assert [result.budget for result in searched] == [
        store.open(path.path, Unlearn).result.budget for path in plan.paths
    ]


class Prices:
    replay, examples = 1.0, 10
    unlearning = Price(update=2.0, evaluation=100.0, weights=8)


def test_the_bill_counts_updates_of_every_setting_and_its_observed_places(attacks):
    plan, _ = attacks
    bills = {one.attack: plan.job(one.rows, Stress).bill(Prices()) for one in plan.stress}
    assert bills["relearn"] == Bill(4 * (4 * 2.0 + 3 * 100.0), 0)


def test_the_label_of_an_attack_is_not_part_of_its_key(attacks):
    plan, _ = attacks
    spec = plan.job(plan.stress[0].rows, Stress).spec
    named = StressSpec(test=spec.test.model_copy(update={"name": "again"}), forget=spec.forget, seed=spec.seed)
    assert named == spec
    assert "name" not in named.spec()["test"]


def test_an_attack_runs_its_passes_in_bfloat16_where_it_is_asked_to(attacks):
    """Training in few bits ends close to training in many, and not in the same place."""
    plan, store = attacks
    (one,) = (each for each in plan.stress if (each.attack, each.place, each.stage) == ("relearn", "0.1", "grokked"))
    job = plan.job(one.rows, Stress)
    run = build_run(store.open(job.inputs["original"], Checkpoint).result.training)
    split, seen = forget_split(run.data, job.spec.forget), set()
    run.model[-1].register_forward_hook(lambda *given: seen.add(given[2].dtype))
    ends = []
    for speed in (UnlearningSpeed(), UnlearningSpeed(bfloat16=True)):
        seen.clear()
        *_, last = job.spec.test.path(run.model, material(run, split, 0, speed=speed), job.spec.test.settings()[0])
        assert seen == {torch.bfloat16 if speed.bfloat16 else torch.float32}
        ends.append(torch.cat([weight.detach().flatten() for weight in last.model.parameters()]))
    assert 0 < (ends[0] - ends[1]).norm() < 0.01 * ends[0].norm()
