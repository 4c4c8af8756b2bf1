"""Units of inference: seeds, or swapped pairs of seeds, and what draws for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.draws import seen_by
from ungrok.study.jobs import Train
from ungrok.study.plan import make_plan
from ungrok.study.units import Units, assignment, drawing, unit_rows, unit_values, units_of

EXPOSURE = "trajectory.exposure={kind: staggered, late: 0.4, share: 0.5, within: class}"
EXPOSED = (
    EXPOSURE,
    "seeds=[0, 1, 4, 5]",
    "stages=[final]",
    "forget=[{kind: exposed, group: late, size: 6}, {kind: exposed, group: early, size: 6}]",
    "unlearn=[{kind: gradient_ascent, updates: 5}]",
    "claims.compare=[[{stage: final, forget: late-6}, {stage: final, forget: early-6}]]",
    "noise_seeds=0",
)


def test_a_pair_of_swapped_seeds_is_one_unit(tiny):
    recipe = tiny(EXPOSURE, "seeds=[7, 0, 1, 6]")
    units = units_of(recipe)
    assert units == Units(((0, 3), (1, 2)), paired=True)
    assert (units.counted(1), units.counted(6)) == ("1 swapped pair of seeds", "6 swapped pairs of seeds")
    values = np.array([[4.0, 1.0], [1.0, np.nan], [2.0, 5.0], [8.0, 3.0]])
    np.testing.assert_array_equal(units.means(values), [[6.0, 2.0], [1.5, np.nan]])
    assert units.whole(frozenset({0, 2, 3})) == {0}


def test_without_swapping_every_seed_is_a_unit(tiny):
    for recipe in (tiny("seeds=[3, 1, 2]"), tiny(EXPOSURE, "trajectory.exposure.swap=false", "seeds=[3, 1, 2]")):
        units, values = units_of(recipe), np.array([1.0, np.nan, 3.0])
        assert units == Units(((0,), (1,), (2,)), paired=False)
        assert units.means(values) is values
        assert units.counted(3) == "3 seeds"
        assert [drawing(recipe, seed) for seed in recipe.seeds] == [3, 1, 2]


def test_a_pair_shares_its_groups_with_roles_swapped(tiny):
    recipe = tiny(EXPOSURE, "seeds=[0, 1, 6, 7]")
    one, other, third = (assignment(recipe, recipe.trajectory, seed) for seed in (6, 7, 0))
    assert (one.seed, one.swapped, other.swapped) == (other.seed, False, True)
    assert third.seed != one.seed
    assert assignment(recipe, tiny().trajectory, 6) is None


def test_a_pair_shares_data_and_forget_sets(tiny):
    recipe = tiny(*EXPOSED, "data_seed=per_seed")
    data_seeds = [seen_by(recipe, recipe.problem, seed).data_seed for seed in recipe.seeds]
    assert data_seeds[0] == data_seeds[1] != data_seeds[2] == data_seeds[3]
    plan = make_plan(recipe)

    def forgotten(seed, label):
        spec = plan.job(plan.trajectories["base", seed], Train).spec
        (job,) = [job for job in plan.jobs.values() if job.label == f"without {label}, base, seed {seed}"]
        return set(job.spec.without.rule.split(spec.data(), job.spec.without.seed).forget.tolist())

    assert forgotten(4, "late-6") == forgotten(5, "early-6")
    assert forgotten(4, "early-6") == forgotten(5, "late-6")
    assert not forgotten(4, "early-6") & forgotten(4, "late-6")
    assert forgotten(0, "late-6") != forgotten(4, "late-6")


def test_training_seeds_of_a_pair_differ(tiny):
    plan = make_plan(tiny(*EXPOSED))
    specs = [plan.job(plan.trajectories["base", seed], Train).spec for seed in (4, 5)]
    assert specs[0].training_seed != specs[1].training_seed


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((EXPOSURE, "seeds=[0, 1, 5]"), r"seeds: 5 lacks its partner 4: trajectory\.exposure\.swap pairs seeds 2k and 2k \+ 1"),
        ((EXPOSURE, "seeds=[2]"), r"seeds: 2 lacks its partner 3"),
        (("forget=[{kind: exposed, group: early, size: 3}]",), r"forget: 'early-3' is drawn from a group of trajectory\.exposure, which is missing"),
        (
            (*EXPOSED, "arms={plain: {trajectory: {exposure: null}}}"),
            r"is drawn from a group of arms\.plain\.trajectory\.exposure, which is missing",
        ),
        (
            (*EXPOSED, "arms={other: {trajectory: {exposure: {swap: false}}}}"),
            r"arms\.other\.trajectory\.exposure\.swap: False differs from the base arm",
        ),
        (("trajectory.exposure={within: class, late: 0.7}",), r"late: 0\.7 of the steps leaves the late group, a share 0\.5"),
    ],
)  # fmt: skip
def test_mistakes_are_named_before_any_work(tiny, overrides, message):
    with pytest.raises(RecipeError, match=message):
        tiny(*overrides)


def test_a_table_of_seeds_becomes_one_of_units(tiny):
    """Of pairs (0, 1) and (6, 7) the first is whole."""
    recipe = tiny(EXPOSURE, "seeds=[7, 0, 1, 6]")
    table = pd.DataFrame({"value": [4.0, 2.0, 5.0]}, index=[1, 0, 7])
    np.testing.assert_array_equal(unit_values(recipe, table), [[3.0]])
    rows = pd.DataFrame({"seed": [1, 0, 7, 0], "stage": ["a", "a", "a", "b"], "value": [4.0, 2.0, 5.0, 1.0]})
    assert unit_rows(recipe, rows, ["stage"]).to_dict("records") == [{"seed": 0, "stage": "a", "value": 3.0}]


def test_without_swapping_a_table_keeps_its_seeds(tiny):
    recipe = tiny("seeds=[3, 1, 2]")
    table = pd.DataFrame({"value": [1.0, np.nan, 3.0]}, index=[1, 2, 3])
    np.testing.assert_array_equal(unit_values(recipe, table), [[3.0], [1.0]])
    assert unit_rows(recipe, table, []) is table
