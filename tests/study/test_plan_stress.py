"""What is attacked, and which paths are searched for a place that lasts."""

from __future__ import annotations

from collections import Counter

import pytest

from ungrok.study.jobs import Lasting, Placed, Stress
from ungrok.study.plan import make_plan
from ungrok.study.rates import Extent
from ungrok.study.seeding import Seeds, repair_of

ATTACKS = "stress.attacks=[{kind: quantize}, {kind: interpolate, to: oracle}]"


def test_every_model_is_attacked_once_by_every_attack(tiny):
    plan = make_plan(tiny(ATTACKS, "stress.places=[0.1, end]"))
    counts = Counter((one.subject, one.place, one.attack) for one in plan.stress)
    seeds_and_stages = 2 * 2
    for attack in ("quantize", "interpolate_oracle"):
        assert [counts[subject, None, attack] for subject in ("original", "oracle")] == [seeds_and_stages] * 2
        assert counts["oracle_2", None, attack] == 2, "one seed has a second oracle"
        assert [counts["unlearned", place, attack] for place in ("0.1", "end")] == [3 * seeds_and_stages] * 2
    assert len(plan.stress) == sum(counts.values()) == 2 * (4 + 4 + 2 + 24)
    assert {one.method for one in plan.stress if one.subject != "unlearned"} == {None}
    assert {one.method for one in plan.stress if one.subject == "unlearned"} == {"gradient_ascent", "scrub", "fisher"}


def test_an_attack_has_the_inputs_that_it_needs(tiny):
    plan = make_plan(tiny(ATTACKS, "stress.places=[0.1]"))
    for one in plan.stress:
        job = plan.job(one.rows, Stress)
        where = (one.arm, one.seed, one.forget, one.stage)
        expected = {"model": one.model, "original": plan.stages[one.arm, one.seed, one.stage]}
        expected |= {"oracle": plan.oracles[where]} if one.attack == "interpolate_oracle" else {}
        assert job.inputs == expected
        assert job.spec.seed == Seeds(one.seed).stress
    models = {one.subject: one.model for one in plan.stress if (one.seed, one.stage) == (0, "grokked")}
    where = ("base", 0, "class", "grokked")
    assert models["original"] == plan.stages["base", 0, "grokked"]
    assert (models["oracle"], models["oracle_2"]) == (plan.oracles[where], plan.noise[where])


def test_a_place_is_walked_to_as_the_path_was_walked(tiny):
    plan = make_plan(tiny(ATTACKS, "stress.places=[oracle, rewound]"))
    paths = {(path.seed, path.stage, path.method): path for path in plan.paths}
    placed = {one.model: one for one in plan.stress if one.subject == "unlearned"}
    assert len(placed) == 2 * 2 * 3 * 2
    for key, one in placed.items():
        job, path = plan.job(key, Placed), paths[one.seed, one.stage, one.method]
        walked = plan.jobs[path.path]
        assert job.inputs == {**walked.inputs, "rows": path.rows}
        assert job.spec.where == one.place
        for name in ("unlearn", "forget", "seed", "batches", "speed", "objective"):
            assert getattr(job.spec, name) == getattr(walked.spec, name)


def test_methods_and_seeds_may_be_fewer(tiny):
    plan = make_plan(tiny(ATTACKS, "stress.methods=[scrub]", "stress.seeds=1"))
    assert {one.seed for one in plan.stress} == {0}
    assert {one.method for one in plan.stress} == {None, "scrub"}


@pytest.mark.parametrize(
    "more",
    [
        "along={unlearn: gradient_ascent, forget: class, points: 3, seeds: 1}",
        "forget_draws=2",
        "unlearn_seeds=2",
    ],
)
def test_only_the_first_walks_from_stages_are_attacked(tiny, more):
    plain, plan = make_plan(tiny(ATTACKS, "lasting={}")), make_plan(tiny(ATTACKS, "lasting={}", more))
    assert (plan.stress, plan.lasting) == (plain.stress, plain.lasting)
    assert len(plan.paths) + len(plan.replicates) > len(plain.paths) > 0


def test_every_path_is_searched_at_the_rate_of_the_recipe(tiny):
    plan = make_plan(tiny("lasting={lr: 0.02, updates: 7}", "unlearn.0.lr={auto: 0.05}"))
    assert [(one.seed, one.stage, one.method, one.path) for one in plan.lasting] == [
        (path.seed, path.stage, path.method, path.path) for path in plan.paths if "lr=" not in path.method
    ]
    assert len(plan.lasting) == 2 * 2 * 3
    for one in plan.lasting:
        job = plan.job(one.rows, Lasting)
        assert job.inputs == {
            **plan.jobs[one.path].inputs,
            "rows": next(p.rows for p in plan.paths if p.path == one.path),
        }
        assert (job.spec.target, job.spec.repair.lr, job.spec.repair.updates) == (0.1, (0.02,), 7)
        assert repair_of(job.spec.seed) not in (job.spec.seed, Seeds(one.seed).stress)


def test_or_at_all_that_the_search_has_tried(tiny):
    recipe = tiny("lasting={rates: all, methods: [gradient_ascent]}", "unlearn.0.lr={auto: 0.05}")
    plan = make_plan(recipe, {("gradient_ascent", "class"): Extent(1, 2)})
    names = ["gradient_ascent", *(f"gradient_ascent lr={rate}" for rate in (0.025, 0.1, 0.2))]
    assert Counter(one.method for one in plan.lasting) == dict.fromkeys(names, 2 * 2)
    untils = {plan.jobs[one.path].spec.until for one in plan.lasting}
    assert untils == {None, 0.1}
    ends = {plan.job(one.rows, Lasting).spec.unlearn.updates for one in plan.lasting}
    assert ends == {40}


def test_methods_may_be_fewer_here_too(tiny):
    plan = make_plan(tiny("lasting={methods: [fisher]}"))
    assert [one.method for one in plan.lasting] == ["fisher"] * 4
