"""Draws of the data for each seed, of forget splits within a seed, of walks within a split."""

from __future__ import annotations

from itertools import product

import pandas as pd
import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.core.seeds import derive
from ungrok.study import engine
from ungrok.study.claims import judge
from ungrok.study.draws import seen_by
from ungrok.study.jobs import Evaluate, Oracle, Train, Unlearn
from ungrok.study.jobs.blocks import Forget
from ungrok.study.outputs import doses_of
from ungrok.study.plan import make_plan
from ungrok.study.preflight import preflight
from ungrok.study.results import collect
from ungrok.study.seeding import Seeds
from ungrok.study.store import Store
from ungrok.study.track import tracks

SMALL = (
    "trajectory.steps=100",
    "unlearn=[{kind: gradient_ascent, lr: 0.05, updates: 8}]",
    "stages=[grokked]",
    "claims.compare=[]",
)
SEVERAL = ("forget=[{kind: random, size: 40}]", "forget_draws=2", "unlearn_seeds=2", "batches.forget=16")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Return plan, store and results of a study with two draws and two walks of each."""
    from tests.study.conftest import TINY

    from ungrok.study.loading import load

    plan, store = make_plan(load(str(TINY), [*SMALL, *SEVERAL])), Store(tmp_path_factory.mktemp("store"))
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store, collect(plan, store)


def test_without_the_keys_nothing_is_planned_differently(tiny):
    plain, spelled = tiny(), tiny("forget_draws=1", "unlearn_seeds=1", "data_seed=null")
    assert spelled.hash == plain.hash == "d9b8d496"
    assert list(make_plan(spelled).jobs) == list(make_plan(plain).jobs)
    assert make_plan(plain).replicates == []


def test_the_first_of_several_is_the_only_one_of_one(several, tiny):
    plan, _, results = several
    one = make_plan(tiny(*SMALL, SEVERAL[0], SEVERAL[-1]))
    assert one.jobs.keys() < plan.jobs.keys()
    assert [path.path for path in one.paths] == [path.path for path in plan.paths]
    assert one.oracles == plan.oracles
    first = results.rows[(results.rows["draw"] == 0) & (results.rows["repeat"] == 0)]
    assert [seed for seed, _, _ in tracks(results.rows)] == [0, 1]
    for seed, _, track in tracks(results.rows):
        pd.testing.assert_frame_equal(
            track.rows.reset_index(drop=True), first[first["seed"] == seed].drop(columns=["draw", "repeat"]).reset_index(drop=True)
        )  # fmt: skip


def test_every_draw_has_its_own_examples_and_oracle_and_every_walk_its_own_batches(several):
    plan, store, results = several
    every = {(path.seed, path.draw, path.repeat): path for path in [*plan.paths, *plan.replicates]}
    assert sorted(every) == list(product((0, 1), repeat=3))
    forgotten, starts = {}, {}
    for at, path in every.items():
        walked = store.open(path.path, Unlearn)
        forgotten[at] = set(walked.tensors("path.safetensors")["forget"].tolist())
        evaluated = plan.job(path.rows, Evaluate)
        oracle = plan.jobs[evaluated.inputs["oracle"]]
        without = plan.job(oracle.inputs["trajectory"], Train).spec
        assert without.without == walked.spec.forget
        assert without.training_seed == derive(at[0], "training")
        assert set(walked.tensors("path.safetensors")["retain"].tolist()).isdisjoint(forgotten[at])
        starts[at] = (oracle.key, walked.spec.seed)
    for seed, draw in product((0, 1), repeat=2):
        assert forgotten[seed, draw, 0] == forgotten[seed, draw, 1]
        assert starts[seed, draw, 0][0] == starts[seed, draw, 1][0]
        assert starts[seed, draw, 0][1] != starts[seed, draw, 1][1]
    for seed in (0, 1):
        assert forgotten[seed, 0, 0] != forgotten[seed, 1, 0]
        assert starts[seed, 0, 0][0] != starts[seed, 1, 0][0]
    ends = results.rows[results.rows["dose"] == 8].set_index(["seed", "draw", "repeat"])["RA"]
    assert ends.nunique() > 4  # draws alone would make four


def test_every_draw_of_a_seed_with_two_oracles_has_a_floor_of_its_own(several):
    plan, store, results = several
    assert sorted(plan.twins) == [("base", 0, "random-40", "grokked", draw) for draw in (0, 1)]
    assert {where: plan.twins[(*where, 0)][1] for where in plan.noise} == plan.noise
    gaps = []
    for (*_, draw), keys in sorted(plan.twins.items()):
        first, second = (store.open(key, Oracle) for key in keys)
        assert (
            first.spec.forget == second.spec.forget == Forget(rule=plan.recipe.forget[0], seed=Seeds(0).forget_of(draw))
        )
        seeds = [plan.job(oracle.inputs["trajectory"], Train).spec.training_seed for oracle in (first, second)]
        assert seeds == [Seeds(0).training, Seeds(0).noise]
        one, other = first.result.accuracies, second.result.accuracies
        gaps.append((abs(one.UA - other.UA) + abs(one.RA - other.RA) + abs(one.TA - other.TA)) / 3)
    assert gaps[0] != gaps[1]
    for draw, gap in enumerate(gaps):
        rows = results.rows[(results.rows["seed"] == 0) & (results.rows["draw"] == draw)]
        assert rows["oracle_floor"].tolist() == pytest.approx([gap] * len(rows))
        assert len(rows) > 1
    assert results.rows.loc[results.rows["seed"] == 1, "oracle_floor"].isna().all()


def test_every_walk_of_every_draw_is_made_at_every_rate_of_a_search(tiny):
    recipe = tiny(
        *SMALL, *SEVERAL, "unlearn=[{kind: gradient_ascent, lr: {auto: 0.05}, updates: 8}, {kind: scrub, updates: 8}]"
    )
    plan = make_plan(recipe)
    rates = ["gradient_ascent", "gradient_ascent lr=0.025", "gradient_ascent lr=0.1"]
    at = {(draw, repeat): [] for draw, repeat in product((0, 1), repeat=2)}
    for path in [*plan.paths, *plan.replicates]:
        if path.seed == 0:
            at[path.draw, path.repeat].append(path.method)
            walked = plan.job(path.path, Unlearn).spec
            assert walked.seed == (derive(0, "unlearning", 1) if path.repeat else derive(0, "unlearning"))
            assert (walked.until is None) == (path.method in recipe.unlearn_labels())
            assert plan.job(path.rows, Evaluate).spec.audit is (
                (path.draw, path.repeat) == (0, 0) and walked.until is None
            )
    assert {tuple(sorted(methods)) for methods in at.values()} == {(*rates, "scrub")}
    assert {(path.draw, path.repeat) for path in plan.paths} == {(0, 0)}


def test_only_the_first_is_audited_and_asked(several):
    _, _, results = several
    assert len(results.audits) == 2
    assert not {"draw", "repeat"} & set(results.audits)
    assert len(results.oracles) == 2


def test_verdicts_are_on_means_over_draws_and_walks(tiny):
    """Two stages in rows made by hand: damage that is 0.2 in one draw and none in the other is 0.1."""
    recipe = tiny("seeds=[0, 1, 2, 3, 4, 5]", "unlearn=[{kind: gradient_ascent}]", "claims.targets=[0.1]", "forget_draws=2",
                  "claims.headline.metrics=[damage]")  # fmt: skip
    table = []
    for seed, draw, stage in product(range(6), (0, 1), ("pre_grok", "grokked")):
        place = {
            "seed": seed,
            "arm": "base",
            "stage": stage,
            "step": 1,
            "forget": "class",
            "method": "gradient_ascent",
            "draw": draw,
        }
        flat = {"RA": 1.0, "bystander_accuracy": None, "validation_accuracy": 0.9, "rewound": False, "diverged": False,
                "oracle_gap": 0.1, "oracle_TA": 0.9}  # fmt: skip
        lost = 0.2 if stage == "pre_grok" and draw else 0.0
        table.append(place | flat | {"dose": 0.0, "updates": 0, "UA": 1.0, "TA": 0.9, "reached_0.1": False})
        table.append(place | flat | {"dose": 5.0, "updates": 5, "UA": 0.0, "TA": 0.9 - lost, "reached_0.1": True})
    rows = pd.DataFrame(table).astype({"reached_0.1": "boolean"})
    from ungrok.study.claims import Doses

    (verdict,) = (v for v in judge(rows, recipe, {"gradient_ascent": Doses(5.0, 5.0)}) if v.headline)
    assert (verdict.metric, verdict.effect.value, verdict.n_seeds) == ("TA", pytest.approx(0.1), 6)


def test_the_shortest_path_of_all_draws_ends_the_doses(several):
    plan, store, _ = several
    assert {key: doses.end for key, doses in doses_of(plan, store).items()} == {"gradient_ascent": 8}


def test_each_seed_sees_its_own_data(tiny):
    recipe = tiny(*SMALL, "data_seed=per_seed")
    plan = make_plan(recipe)
    problems = {seed: plan.job(key, Train).spec.problem for (_, seed), key in plan.trajectories.items()}
    assert {seed: problem.data_seed for seed, problem in problems.items()} == {s: derive(s, "data") for s in (0, 1)}
    one, other = (problem.load() for problem in problems.values())
    assert not torch.equal(one.train.inputs, other.train.inputs)
    assert len(one.train) == len(other.train)
    for job in plan.jobs.values():
        if isinstance(job, Train):
            assert job.spec.problem.data_seed in {derive(s, "data") for s in (0, 1)}
    assert seen_by(tiny(), recipe.problem, 1) is recipe.problem


def test_forget_splits_are_tried_on_the_data_of_every_seed(tiny):
    """The least number of examples of a class over seeds and draws is that which is warned of."""
    recipe = tiny(*SMALL, "data_seed=per_seed", "forget_draws=3")
    plan = make_plan(recipe)
    sizes = []
    for seed in recipe.seeds:
        data = plan.job(plan.trajectories["base", seed], Train).spec.data()
        draws = [derive(seed, "forget"), derive(seed, "forget", 1), derive(seed, "forget", 2)]
        sizes += [len(recipe.forget[0].split(data, draw).forget) for draw in draws]
    warnings = preflight(recipe)[1]
    assert f"forget split 'class' holds only {min(sizes)} examples" in " ".join(warnings)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["forget_draws=2", "forget=[{kind: class, label_to_forget: 3}]"],
            "forget_draws: 2 draws of 'class' would all be the same",
        ),
        (
            ["forget_draws=2", "problem.label_noise=0.1", "forget=[{kind: class}, {kind: mislabeled}]"],
            "2 draws of 'mislabeled'",
        ),
        (["forget_draws=0"], "forget_draws: 0 is not allowed"),
        (["unlearn_seeds=0"], "unlearn_seeds: 0 is not allowed"),
        (["data_seed=3"], "data_seed: 3 is not allowed"),
        (
            ["data_seed=per_seed", "problem.data_seed=3"],
            "problem.data_seed: 3 would have no effect, since data_seed is per_seed",
        ),
        (["data_seed=per_seed", "arms.other={problem: {data_seed: 4}}"], "problem.data_seed: 4 would have no effect"),
    ],
)
def test_what_would_not_differ_is_refused(tiny, overrides, message):
    with pytest.raises(RecipeError, match=message):
        tiny(*overrides)


def test_fixed_data_cannot_be_drawn_for_each_seed():
    from tests.study.conftest import TINY

    from ungrok.study.loading import load

    text = TINY.with_name("tiny-text.yaml")
    with pytest.raises(
        RecipeError, match="data_seed: per_seed needs data that are drawn; those of problem 'tofu' are fixed"
    ):
        load(str(text), ["data_seed=per_seed", "problem.kind=tofu"])
    assert load(str(text), ["data_seed=per_seed"]).data_seed == "per_seed"


@pytest.mark.parametrize("rule", ["{kind: class, label_to_forget: 3}", "{kind: mislabeled}"])
def test_a_rule_of_one_set_takes_one_request(tiny, rule):
    forget = f"forget=[{rule}]"
    assert tiny(forget, "problem.label_noise=0.1").requests == 1
    with pytest.raises(RecipeError, match=r"requests: 3 sets of '\w+(-3)?' cannot be had: it knows one set only"):
        tiny(forget, "problem.label_noise=0.1", "requests=3")
