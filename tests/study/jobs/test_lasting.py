"""The first place that lasts, against a brute force over all observed places."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ungrok.audits.relearn import Relearn
from ungrok.data import TensorBatches
from ungrok.study import engine
from ungrok.study.bill import Bill, Price
from ungrok.study.jobs import Evaluate, Lasting
from ungrok.study.jobs.checkpoint import Checkpoint, weights_of
from ungrok.study.jobs.lasting import HANDFUL, handful, tried
from ungrok.study.jobs.paths import Sources, depart
from ungrok.study.jobs.stress import material
from ungrok.study.jobs.unlearn import observed
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.seeding import repair_of
from ungrok.study.store import Store

TINY = Path(__file__).parents[1] / "tiny.yaml"

# A random split of a model that fits all of it: its repair brings nearly all back until the path has destroyed the model.
COMES_BACK = (
    "seeds=[0]", "noise_seeds=0", "trajectory.steps=400", "stages=[final]", "forget=[{kind: random, fraction: 0.2}]",
    "unlearn=[{kind: gradient_ascent, lr: 0.03, updates: 60}]", "claims.compare=[]", "claims.targets=[0.5]",
    "lasting={updates: 30, lr: [0.02, 0.05]}",
)  # fmt: skip


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Return a function that plans and runs the study above with overrides, and returns plan, store and the job's key."""
    store = Store(tmp_path_factory.mktemp("store"))

    def run(*overrides, workers=0, store=store):
        plan = make_plan(load(str(TINY), [*COMES_BACK, *overrides]))
        engine.run(list(plan.jobs.values()), store, workers=workers)
        (one,) = plan.lasting
        return plan, store, one

    return run


def brute(plan, store, one):
    """Return dose, UA, and UA after the repair at the strongest rate, at every observed place from the first at the target on."""
    spec = plan.job(one.rows, Lasting).spec
    source = store.open(plan.stages[one.arm, one.seed, one.stage], Checkpoint)
    departure = depart(source.result.training, weights_of(source), spec, Sources())
    run, split = departure.run, departure.split
    forget = TensorBatches(run.data.train.of(split.forget))
    own = material(run, split, repair_of(spec.seed))
    table = []
    for step in departure.path:
        if step.updates not in observed(60, spec.observe):
            continue
        before = run.objective.score(step.model, forget).accuracy
        if before > spec.target and not table:
            continue
        after = []
        for rate in spec.repair.lr:
            test = Relearn(shares=[0.0], lr=[rate], updates=spec.repair.updates, batch=spec.repair.batch)
            (setting,) = test.settings()
            *_, last = test.path(step.model, own, setting)
            after.append(run.objective.score(last.model, forget).accuracy)
        table.append((step.dose, before, max(after)))
    return table


def test_it_is_the_first_of_all_observed_places_that_lasts(planned):
    plan, store, one = planned()
    result = store.open(one.rows, Lasting).result
    every = {dose: (before, after) for dose, before, after in brute(plan, store, one)}
    first = min(dose for dose, pair in every.items() if max(pair) <= 0.5)
    assert min(every) < first < max(every) == 60, "else nothing would have to be looked for"
    assert [row["dose"] for row in result.rows if row["first"]] == [first]
    assert {row["dose"]: (row["UA"], row["UA_after"]) for row in result.rows}.items() <= every.items()
    assert [row["lasts"] for row in result.rows] == [row["dose"] >= first for row in result.rows]
    assert all(row["monotone"] for row in result.rows)
    assert len(result.rows) < len(every) / 2


def test_a_path_that_is_too_short_never_lasts(planned):
    _, store, one = planned("unlearn.0.updates=30")
    result = store.open(one.rows, Lasting).result
    assert result.rows[0]["UA"] <= 0.5 < result.rows[-1]["UA_after"]
    assert result.rows[-1]["dose"] == result.budget == 30
    assert not any(row["lasts"] or row["first"] for row in result.rows)


def test_a_tried_place_has_the_numbers_of_the_path_there(planned):
    plan, store, one = planned()
    rows = {row["dose"]: row for row in store.open(plan.paths[0].rows, Evaluate).result.rows}
    result = store.open(one.rows, Lasting).result
    names = ("updates", "UA", "RA", "TA", "validation_accuracy", "bystander_accuracy")
    assert result.rows[0]["dose"] == min(dose for dose, row in rows.items() if row["UA"] <= 0.5)
    for row in result.rows:
        assert [row[name] for name in names] == [rows[row["dose"]][name] for name in names]


@pytest.mark.parametrize(
    ("override", "reason"),
    [("unlearn.0.updates=2", "UA never came down to 0.5"), ("trajectory.steps=10", "nothing to forget")],
)
def test_a_path_without_candidates_says_why(planned, override, reason):
    _, store, one = planned(override)
    result = store.open(one.rows, Lasting).result
    assert (result.rows, result.reason) == ([], reason)
    assert result.budget == (2 if "updates" in override else 60)


def test_equal_specs_give_equal_bytes_whoever_runs_them(planned, elsewhere, tmp_path):
    _, here, one = planned()
    there = elsewhere(here, tmp_path, [one.rows])
    _, _, same = planned(workers=1, store=there)
    assert one.rows == same.rows
    assert (here.folder(one.rows) / "result.json").read_bytes() == (there.folder(one.rows) / "result.json").read_bytes()


def test_a_finished_search_is_not_made_again(planned):
    plan, store, one = planned()
    made = (store.folder(one.rows) / "timing.json").stat().st_mtime_ns
    assert engine.run(list(plan.jobs.values()), store, workers=0) == 0
    assert (store.folder(one.rows) / "timing.json").stat().st_mtime_ns == made


doses = st.lists(st.integers(1, 2000), min_size=1, max_size=60, unique=True).map(sorted)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(doses=doses, data=st.data())
def test_where_all_later_places_last_the_first_is_found(doses, data):
    first = data.draw(st.integers(0, len(doses)))
    outcome = tried(doses, lambda index: index >= first)
    assert list(outcome) == sorted(outcome)
    assert next((index for index, stays in outcome.items() if stays), len(doses)) == first
    assert {0, len(doses) - 1} <= outcome.keys()
    assert len(outcome) <= HANDFUL + 6


@settings(derandomize=True, max_examples=200, deadline=None)
@given(doses=doses, data=st.data())
def test_the_place_before_the_first_that_lasts_is_known_to_fail(doses, data):
    """Also where places last and fail by turns."""
    stays = data.draw(st.lists(st.booleans(), min_size=len(doses), max_size=len(doses)))
    outcome = tried(doses, stays.__getitem__)
    assert outcome == {index: stays[index] for index in outcome}
    first = next((index for index, lasts in outcome.items() if lasts), None)
    assert first in (None, 0) or outcome[first - 1] is False


def test_a_handful_of_places_is_spaced_evenly_by_the_logarithm():
    assert handful([1, 2, 4, 8, 16, 32]) == [0, 1, 2, 3, 4, 5]
    assert [2**i for i in handful([2**i for i in range(11)])] == [1, 4, 16, 64, 256, 1024]
    assert handful([7.0]) == [0]


class Prices:
    replay, examples = 1.0, 10
    unlearning = Price(update=1.0, evaluation=100.0, weights=8)


def test_the_bill_counts_the_path_and_the_repairs_of_the_longest_search(planned):
    plan, _, one = planned()
    places = len(observed(60, plan.recipe.observe))
    assert places == 51
    tries = HANDFUL + 6  # 2 ** 6 is above 51
    assert plan.job(one.rows, Lasting).bill(Prices()) == Bill(60 + tries * (2 * (30 + 100) + 100), 0)


def test_a_place_whose_repairs_all_diverge_does_not_last_and_says_nothing_of_those_before(planned):
    _, store, one = planned("lasting={updates: 30, lr: [1.0e+30]}")
    rows = store.open(one.rows, Lasting).result.rows
    assert len(rows) == HANDFUL
    for row in rows:
        assert row["UA"] <= 0.5
        assert (row["UA_after"], row["RA_after"], row["lasts"], row["monotone"]) == (None, None, False, True)


def test_of_several_repairs_the_one_that_diverges_does_not_count(planned):
    """Its rate is too large by far; what the other brings back is what it would bring back alone."""
    alone, both = (planned(f"lasting={{updates: 30, lr: {rates}}}") for rates in ([0.05], [0.05, 1e30]))
    expected, actual = (store.open(one.rows, Lasting).result.rows for _, store, one in (alone, both))
    assert actual == expected
    assert max(row["UA_after"] for row in actual) > 0.5


@pytest.mark.parametrize(("first", "diverged"), [(7, 10), (8, 9), (12, 20), (30, 33), (58, 59)])
def test_what_lasts_before_the_path_diverges_is_found(first, diverged):
    """None of the first handful lasts: the late ones say nothing, since their numbers are not finite."""
    outcome = tried(range(1, 61), lambda index: None if index >= diverged else index >= first)
    assert [index for index in handful(range(1, 61)) if outcome[index]] == []
    assert next(index for index, stays in outcome.items() if stays) == first
    assert outcome[first - 1] is False
    assert len(outcome) <= HANDFUL + 6


def test_a_path_that_diverges_before_it_lasts_has_no_such_place():
    outcome = tried(range(1, 61), lambda index: None if index >= 20 else False)
    assert (outcome[19], outcome[20]) == (False, None)
    assert not any(outcome.values())
