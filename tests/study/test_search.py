"""Choosing a rate, and plans that grow until the best of every seed lies inside the grid."""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ungrok.study import engine, outputs
from ungrok.study.executing import execute
from ungrok.study.jobs import Evaluate, Unlearn
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.rates import Extent
from ungrok.study.results import collect
from ungrok.study.search import (
    Choice,
    chosen,
    grid_of,
    grow,
    largest,
    rates_wanted,
    regrow,
    strengths_wanted,
)
from ungrok.study.store import Store
from ungrok.study.track import Track

TINY = Path(__file__).with_name("tiny.yaml")
AUTO = (
    "unlearn=[{kind: gradient_ascent, lr: {auto: 0.01}, updates: 12}, {kind: fisher, alpha: {auto: 1.0e-5}}]",
    "claims.targets=[0.1, oracle]",
    "search.most=5",
    "trajectory.steps=100",
    "noise_seeds=0",
    "along={unlearn: gradient_ascent, forget: class, points: 2, seeds: 1}",
)


def path(hit, damage=0.0, *, end=12, diverged=False, nothing=False, oracle=0.9, validation=True, one_shot=False):
    """Return a path that reaches UA 0.1 at update ``hit`` (None: never), where it has lost ``damage`` against the oracle."""
    rows = []
    for dose in range(end + 1):
        reached = nothing or (hit is not None and dose >= hit)
        rows.append(
            {
                "dose": float(dose),
                "updates": None if one_shot else dose,
                "reached_0.1": reached,
                "RA": 1.0 - damage / 2 if reached else 1.0,
                "validation_accuracy": (0.9 - damage if reached else 0.95) if validation else None,
                "oracle_validation_accuracy": oracle,
                "diverged": diverged and dose == end,
            }
        )
    return Track(pd.DataFrame(rows))


def test_the_fewest_updates_among_the_rates_that_do_little_damage():
    paths = {0.1: path(8, 0.0), 0.2: path(5, 0.02), 0.4: path(2, 0.021), 0.8: path(None)}
    assert chosen(paths, 0.1, 0.02) == Choice(0.2, 5.0, pytest.approx(0.02))
    assert chosen(paths, 0.1, 0.05).rate == 0.4


def test_the_least_damage_where_none_does_little():
    paths = {0.1: path(8, 0.3), 0.2: path(5, 0.1), 0.4: path(2, 0.2)}
    assert chosen(paths, 0.1, 0.02) == Choice(0.2, 5.0, pytest.approx(0.1))


def test_ties_go_to_the_lower_rate():
    assert chosen({0.4: path(2), 0.2: path(2), 0.1: path(3)}, 0.1, 0.02).rate == 0.2
    assert chosen({0.4: path(1, 0.5), 0.2: path(2, 0.5)}, 0.1, 0.02).rate == 0.2


def test_there_is_no_choice_where_no_rate_reaches_the_target():
    assert chosen({0.1: path(None), 0.2: path(None)}, 0.1, 0.02) is None


@pytest.mark.parametrize("lacking", [{"oracle": None}, {"validation": False}])
def test_without_an_oracle_or_validation_data_retain_accuracy_counts(lacking):
    assert chosen({0.1: path(3, 0.3, **lacking)}, 0.1, 0.02).damage == pytest.approx(0.15)


def test_a_model_that_is_no_longer_finite_on_validation_data_has_lost_everything():
    rows = path(3).rows
    rows.loc[3, "validation_accuracy"] = math.nan
    assert chosen({0.1: Track(rows)}, 0.1, 0.02).damage == 0.9


def slowly(paths, limit):
    """Return the choice by comparing every path with every other."""
    for allowed in (limit, math.inf):
        candidates = [(rate, hit, damage) for rate, hit, damage in paths if hit is not None and damage <= allowed]
        for rate, hit, damage in candidates:
            others = [each for each in candidates if each[0] != rate]
            value = (hit, rate) if allowed == limit else (damage, rate)
            if all(value < ((h, r) if allowed == limit else (d, r)) for r, h, d in others):
                return rate, hit
    return None


outcomes = st.tuples(st.none() | st.integers(1, 6), st.sampled_from([0.0, 0.01, 0.02, 0.05, 0.3]))


@settings(max_examples=60)
@given(st.lists(outcomes, min_size=1, max_size=5), st.sampled_from([0.0, 0.02, 0.1]))
def test_the_choice_is_that_of_a_slow_comparison(every, limit):
    listed = [(2.0**k, hit, damage) for k, (hit, damage) in enumerate(every)]
    paths = {rate: path(hit, damage, end=6) for rate, hit, damage in listed}
    choice = chosen(paths, 0.1, limit)
    assert (choice and (choice.rate, choice.updates)) == slowly(listed, limit)


LOW, MID, HIGH = 0.1, 0.2, 0.4


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        ([path(8), path(4), path(6)], (0, 0)),
        ([path(8), path(6), path(4)], (0, 1)),
        ([path(8, 0.1), path(6, 0.2), path(4, 0.3)], (1, 0)),
        ([path(None)] * 3, (0, 1)),
        ([path(None), path(None), path(None, diverged=True)], (0, 0)),
        ([path(None, diverged=True)] * 3, (1, 0)),
        ([path(None, nothing=True)] * 3, (0, 0)),
        ([path(4, diverged=True), path(None), path(None)], (1, 0)),
    ],
)
def test_a_side_wants_a_further_rate_where_its_best_lies_at_an_end(paths, wanted):
    side = dict(zip((LOW, MID, HIGH), paths, strict=True))
    inside = dict(zip((LOW, MID, HIGH), [path(8), path(4), path(6)], strict=True))
    assert rates_wanted([side, inside], 0.1, 0.02) == wanted
    assert rates_wanted([side, side], 0.1, 0.02) == (2 * wanted[0], 2 * wanted[1])


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (path(2, end=3, one_shot=True), (0, 0)),
        (path(1, end=3, one_shot=True), (1, 0)),
        (path(None, end=3, one_shot=True), (0, 1)),
        (path(None, end=3, one_shot=True, diverged=True), (0, 0)),
        (path(None, end=1, one_shot=True, diverged=True), (1, 0)),
        (path(None, end=3, one_shot=True, nothing=True), (0, 0)),
    ],
)
def test_a_list_of_strengths_should_begin_before_the_target_and_end_beyond_it(one, wanted):
    assert strengths_wanted([one, path(2, end=3, one_shot=True)], 0.1) == wanted


def test_the_grid_of_a_method_is_known_from_labels():
    labels = ["scrub", "up lr=0.0002", "up lr=0.0016", "up", "up lr=0.0008", "up there lr=0.1", "finetune lr=0.1"]
    assert grid_of(labels, "up") == {
        0.0002: "up lr=0.0002",
        0.0004: "up",
        0.0008: "up lr=0.0008",
        0.0016: "up lr=0.0016",
    }
    assert list(grid_of(labels, "up")) == [0.0002, 0.0004, 0.0008, 0.0016]
    for label in ("scrub", "finetune", "up there", "nothing"):
        assert grid_of(labels, label) == {}


def test_the_grid_that_is_planned_is_the_one_that_labels_tell():
    plan = make_plan(load(str(TINY), AUTO), {("gradient_ascent", "class"): Extent(2, 3)})
    labels = {one.method for one in plan.paths}
    rates = {plan.job(one.path, Unlearn).spec.unlearn.lr for one in plan.paths if one.method != "fisher"}
    assert sorted(grid_of(labels, "gradient_ascent")) == pytest.approx(sorted(rates))
    assert len(rates) == 6


def test_the_largest_plan_has_the_most_rates_and_twice_as_many_strengths():
    recipe = load(str(TINY), AUTO)
    plan = largest(recipe)
    assert len(grid_of({one.method for one in plan.paths}, "gradient_ascent")) == 5
    assert {len(plan.job(o.path, Unlearn).spec.unlearn.alpha) for o in plan.paths if o.method == "fisher"} == {10}
    first = load(str(TINY))
    assert largest(first).jobs.keys() == make_plan(first).jobs.keys()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a store that holds everything but paths."""
    plan, store = make_plan(load(str(TINY), AUTO)), Store(tmp_path_factory.mktemp("store"))
    engine.run([job for job in plan.jobs.values() if job.kind not in ("unlearn", "evaluate")], store, workers=0)
    return store.root


def finished(plan, store, out):
    """Return the tables of a study whose searches have ended, as bytes."""
    results = collect(plan, store)
    outputs.write_tables(out, plan, results, [], {})
    return (out / "results.parquet").read_bytes() + (out / "audits.parquet").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(trained, tmp_path_factory):
    """Return plan, store and tables of the study, its jobs run in their order."""
    root = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(trained, root / "store")
    plan, store = make_plan(load(str(TINY), AUTO)), Store(root / "store")
    engine.run(list(plan.jobs.values()), store, workers=0, more=lambda: grow(plan, store))
    return plan, store, finished(plan, store, root / "out")


def test_the_best_rate_of_every_seed_and_side_ends_inside_the_grid_or_the_grid_is_full(undisturbed):
    plan, store, _ = undisturbed
    rows = collect(plan, store).rows
    extent = plan.extent("gradient_ascent", "class")
    grid = grid_of(rows["method"].unique(), "gradient_ascent")
    assert len(grid) == extent.below + extent.above + 1 <= 5
    own = rows[rows["stage"].isin(["pre_grok", "grokked"])]
    bests = []
    for _, side in own.groupby(["seed", "stage"]):
        paths = {rate: Track(side[side["method"] == label]) for rate, label in grid.items()}
        bests.append(chosen(paths, 0.1, 0.02).rate)
    assert len(bests) == 4
    assert len(grid) == 5 or all(min(grid) < best < max(grid) for best in bests)
    assert plan.round > 2


def test_paths_of_a_search_end_at_the_target_and_the_own_rate_goes_on(undisturbed):
    plan, store, _ = undisturbed
    ends = {True: 0, False: 0}
    for one in plan.paths:
        if one.method == "fisher":
            continue
        record, rows = store.open(one.path, Unlearn).result, store.open(one.rows, Evaluate).result.rows
        reached = [row["reached_0.1"] for row in rows]
        assert record.budget == 12
        if one.method == "gradient_ascent":
            assert rows[-1]["updates"] == 12
        else:
            assert True not in reached[:-1]
            assert reached[-1] or rows[-1]["updates"] == 12
            ends[reached[-1]] += 1
    assert ends[True] > 0


def test_the_list_of_strengths_brackets_the_target(undisturbed):
    plan, store, _ = undisturbed
    tracks = [Track(pd.DataFrame(store.open(o.rows, Evaluate).result.rows)) for o in plan.paths if o.method == "fisher"]
    assert len(tracks) == 4
    assert len({tuple(track.rows["dose"]) for track in tracks}) == 1
    assert not any(track.places[1]["reached_0.1"] for track in tracks)
    assert all(track.status(0.1) == "reached" for track in tracks)


def test_steps_along_the_trajectory_have_no_grid(undisturbed):
    plan = undisturbed[0]
    along = {one.method for one in plan.paths if one.stage.startswith("step-")}
    assert along == {"gradient_ascent"}


def disturbed(plan, store, draw, left):
    """Run jobs in any order that their inputs allow, round by round, for as many as are ``left``; return how many are not used."""
    while left:
        ready = [
            job
            for key, job in plan.jobs.items()
            if not store.has(key) and all(store.has(needed) for needed in job.inputs.values())
        ]
        if not ready:
            if not grow(plan, store):
                return left
            continue
        execute(store, draw.choice(ready))
        left -= 1
    return left


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_neither_the_order_of_jobs_nor_an_interruption_changes_a_byte(trained, undisturbed, tmp_path, seed):
    expected, _, table = undisturbed
    draw, recipe = random.Random(seed), load(str(TINY), AUTO)
    shutil.copytree(trained, tmp_path / "store")
    stops = 0
    while disturbed(make_plan(recipe), Store(tmp_path / "store"), draw, draw.randint(5, 30)) == 0:
        stops += 1
    assert stops > 1
    plan, store = make_plan(recipe), Store(tmp_path / "store")
    regrow(plan, store)
    assert list(plan.jobs) == list(expected.jobs)
    assert (plan.extents, plan.paths) == (expected.extents, expected.paths)
    assert finished(plan, store, tmp_path / "out") == table


def test_a_path_is_read_once_in_all_rounds(undisturbed, monkeypatch):
    plan, store, _ = undisturbed
    opened = []
    plain = Store.open
    monkeypatch.setattr(
        Store, "open", lambda self, key, kind, **more: opened.append(key) or plain(self, key, kind, **more)
    )
    again = make_plan(plan.recipe)
    regrow(again, store)
    assert again.round > 2
    assert len(opened) == len(set(opened)) > len(again.recipe.seeds)


def test_nothing_is_added_before_all_paths_are_finished(undisturbed, tmp_path):
    plan, store, _ = undisturbed
    shutil.copytree(store.root, tmp_path / "store")
    first, copy = make_plan(plan.recipe), Store(tmp_path / "store")
    missing = next(one for one in first.paths if one.method == "gradient_ascent lr=0.02")
    shutil.rmtree(copy.folder(missing.rows))
    assert grow(first, copy) == []
    assert first.round == 1
    assert grow(first, store) != []


def test_a_recipe_without_a_search_does_not_grow(tiny, tmp_path):
    plan = make_plan(tiny())
    assert grow(plan, Store(tmp_path)) == []
