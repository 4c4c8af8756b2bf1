"""Slopes along series: against numpy's polyfit, and planted ones are found."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ungrok.study.claims import Doses
from ungrok.study.results import MECHANISM
from ungrok.study.slopes import COLUMNS, slope, slopes

BUDGET = 100.0
LOUDER = "controls.louder={kind: rescaled, stage: grokked, factor: [0.5, 2, 4]}"
DECAY = "arms.decayed={grid: {trajectory.optimizer.weight_decay: [0.25, 0.5, 1, 2]}, stages: [grokked]}"
numbers = st.floats(-100, 100)


@settings(max_examples=50)
@given(arrays(float, 6, elements=numbers), arrays(float, 6, elements=numbers))
def test_a_slope_is_that_of_polyfit(x, y):
    if np.ptp(x) > 0.1:
        assert slope(x, y) == pytest.approx(np.polyfit(x, y, 1)[0], abs=1e-6)


def test_a_slope_given_accuracy_is_the_planted_one():
    x, z = np.array([-1.0, 0, 1, 2, 3]), np.array([0.5, 0.9, 0.6, 0.8, 0.7])
    y = 2 + 0.75 * x - 3 * z
    assert slope(x, y, z) == pytest.approx(0.75, abs=1e-12)
    assert slope(x, y) != pytest.approx(0.75, abs=0.01)
    assert slope(x, y, np.full(5, 0.9)) == pytest.approx(slope(x, y))  # what does not vary explains nothing
    design = np.stack([np.ones(5), x, z], axis=1)
    noisy = y + np.array([0.1, -0.2, 0.05, 0.3, -0.1])
    assert slope(x, noisy, z) == pytest.approx(np.linalg.solve(design.T @ design, design.T @ noisy)[1])


@pytest.mark.parametrize(
    ("x", "y", "z"),
    [
        ([], [], None),
        ([1], [2], None),
        ([1, 1], [2, 3], None),
        ([1, 2], [2, math.nan], None),
        ([1, 2, 3], [1, 2, 3], [1, 0, 1]),  # three points and a plane
        ([1, 2, 3, 4], [1, 2, 3, 5], [2, 4, 6, 8]),  # accuracy tells the same as x
    ],
)
def test_what_the_points_do_not_fix_is_nan(x, y, z):
    assert math.isnan(slope(x, y, z))


def test_missing_points_are_left_out():
    assert slope([0, 1, 2], [1, math.nan, 5]) == pytest.approx(2)


def row(place, dose, ua, ta, oracle=0.9):
    seed, arm, stage = place
    return {
        "seed": seed, "arm": arm, "stage": stage, "forget": "class", "method": "gradient_ascent", "dose": dose, "updates": dose,
        "UA": ua, "TA": ta, "bystander_accuracy": None, "oracle_TA": oracle, "reached_0.1": ua <= 0.1, "reached_oracle": None,
    }  # fmt: skip


def study(recipe, points, updates, damage, accuracy=lambda _: 0.95):
    """Return rows in which each path reaches UA 0 at ``updates(place)``, having lost ``damage(place)`` beyond the oracle."""
    rows = []
    for seed in recipe.seeds:
        for arm, stage in points:
            place = (seed, arm, stage)
            rows.append(row(place, 0.0, 1.0, accuracy(place)))
            if updates(place) <= BUDGET:
                rows.append(row(place, updates(place), 0.0, 0.9 - damage(place)))
            else:
                rows.append(row(place, BUDGET, 0.8, 0.9))
    return pd.DataFrame(rows).astype({"reached_0.1": "boolean", "reached_oracle": "boolean"})


def louder(tiny, seeds):
    return tiny(
        LOUDER, f"seeds={list(range(seeds))}", "stages=[grokked, louder]", "unlearn=[{kind: gradient_ascent}]", "claims.compare=[]"
    )  # fmt: skip


FACTORS = {"grokked": 1.0, "louder x0.5": 0.5, "louder x2": 2.0, "louder x4": 4.0}
DOSES = {"gradient_ascent": Doses(BUDGET, BUDGET)}


def test_planted_slopes_of_rescaled_models_are_found(tiny):
    """Updates grow by a factor of 1.5 a doubling in every seed; damage by 0.01, and 0.002 more with each seed."""
    recipe = louder(tiny, 6)
    rows = study(
        recipe,
        [("base", stage) for stage in FACTORS],
        updates=lambda place: (10 + place[0]) * 1.5 ** math.log2(FACTORS[place[2]]),
        damage=lambda place: (0.01 + 0.002 * place[0]) * math.log2(FACTORS[place[2]]),
    )
    measured = [
        dict.fromkeys(MECHANISM) | {
            "seed": seed, "arm": "base", "stage": stage, "forget": "class", "method": "", "analysis": "weight_norm", "null": "",
            "measure": "weight_norm", "on": "weights", "layer": "model", "value": 3 + 2 * math.log2(factor),
        }
        for seed in recipe.seeds for stage, factor in FACTORS.items()
    ]  # fmt: skip
    table = slopes(rows, pd.DataFrame(measured), recipe, DOSES)
    assert list(table) == COLUMNS
    assert set(table["held"]) == {"function"}
    assert set(table["points"]) == {4}
    assert set(table["seeds"]) == {6}
    by = table.set_index("outcome")
    assert by.loc["updates", ["slope", "low", "high"]].tolist() == pytest.approx([math.log(1.5)] * 3)
    assert by.loc["damage", "slope"] == pytest.approx(0.015)
    assert 0 < by.loc["damage", "low"] < 0.015 < by.loc["damage", "high"]
    assert by.loc["measure", ["measure", "on"]].tolist() == ["weight_norm", "weights"]
    assert by.loc["measure", "slope"] == pytest.approx(2)


def test_few_seeds_give_no_interval(tiny):
    recipe = louder(tiny, 5)
    rows = study(recipe, [("base", stage) for stage in FACTORS], lambda _: 10.0, lambda _: 0.0)
    table = slopes(rows, pd.DataFrame(columns=MECHANISM), recipe, DOSES)
    assert set(table["outcome"]) == {"updates", "damage"}
    assert (table["slope"] == 0).all()
    assert table[["low", "high"]].isna().all(axis=None)


def test_paths_above_their_target_count_as_their_end_for_updates_and_not_for_damage(tiny):
    recipe = louder(tiny, 6)
    rows = study(
        recipe,
        [("base", stage) for stage in FACTORS],
        updates=lambda place: 1000.0 if place[2] == "louder x4" else 25.0,
        damage=lambda _: 0.1,
    )
    by = slopes(rows, pd.DataFrame(columns=MECHANISM), recipe, DOSES).set_index("outcome")
    expected = np.polyfit([-1, 0, 1, 2], np.log([25, 25, 25, BUDGET]), 1)[0]
    assert by.loc["updates", "slope"] == pytest.approx(expected)
    assert (by.loc["updates", "censored"], by.loc["damage", "censored"]) == (6, 0)
    assert by.loc["damage", "slope"] == pytest.approx(0)


def test_arms_are_read_with_and_without_accuracy(tiny):
    """Updates follow accuracy alone: without it as a regressor decay seems to matter."""
    recipe = tiny(
        DECAY, "seeds=[0, 1, 2, 3, 4, 5]", "stages=[grokked]", "unlearn=[{kind: gradient_ascent}]", "claims.compare=[]"
    )
    ta = dict(zip(recipe.arms, (0.7, 0.82, 0.88, 0.9), strict=True))
    rows = study(
        recipe,
        [(arm, "grokked") for arm in recipe.arms],
        updates=lambda place: math.exp(4 * ta[place[1]]),
        damage=lambda _: 0.0,
        accuracy=lambda place: ta[place[1]],
    )
    table = slopes(rows, pd.DataFrame(columns=MECHANISM), recipe, DOSES)
    by = table[table["outcome"] == "updates"].set_index("held")["slope"]
    assert by[""] == pytest.approx(np.polyfit([-2, -1, 0, 1], [4 * value for value in ta.values()], 1)[0])
    assert by["accuracy"] == pytest.approx(0, abs=1e-9)
    assert table["axis"].unique().tolist() == ["trajectory.optimizer.weight_decay"]
    three = tiny(DECAY.replace("[0.25, 0.5, 1, 2]", "[0.25, 0.5, 1]"), "seeds=[0, 1, 2, 3, 4, 5]", "claims.compare=[]")
    rows = study(three, [(arm, "grokked") for arm in three.arms], lambda _: 10.0, lambda _: 0.0)
    assert set(slopes(rows, pd.DataFrame(columns=MECHANISM), three, DOSES)["held"]) == {""}


def test_without_series_there_is_nothing(tiny):
    recipe = tiny("seeds=[0]")
    rows = study(recipe, [("base", "grokked")], lambda _: 10.0, lambda _: 0.0)
    assert slopes(rows, pd.DataFrame(columns=MECHANISM), recipe, DOSES).empty


def test_the_slope_of_a_swapped_pair_is_one_observation(tiny):
    recipe = tiny(
        LOUDER, f"seeds={list(range(12))}", "stages=[grokked, louder]", "unlearn=[{kind: gradient_ascent}]", "claims.compare=[]",
        "trajectory.exposure={within: class}",
    )  # fmt: skip

    def updates(place):
        own = 1 if place[0] % 2 else -1  # of the examples of a seed, with the other sign in its partner
        return 25 * math.exp((0.3 + 0.2 * own) * math.log2(FACTORS[place[2]]))

    rows = study(recipe, [("base", stage) for stage in FACTORS], updates, lambda _: 0.0)
    by = slopes(rows, pd.DataFrame(columns=MECHANISM), recipe, DOSES).set_index("outcome")
    assert by.loc["updates", ["slope", "low", "high"]].tolist() == pytest.approx([0.3] * 3)
    assert by.loc["updates", "seeds"] == 6
