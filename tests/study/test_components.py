"""Variance components: closed forms on small tables, an analysis of variance written out, and recovery of planted ones."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ungrok.study.claims import Doses
from ungrok.study.components import COLUMNS, Components, components, variance_components

BUDGET = 100.0
DOSES = {"gradient_ascent": Doses(BUDGET, BUDGET)}


def test_a_table_worked_out_by_hand():
    """Seeds (0, 10), draws at ±2 around each, repeats at ±1 around these.

    MS_repeat = 8·1/4 = 2; MS_draw = 2·(4·4)/2 = 16; MS_seed = 4·(2·25)/1 = 200.
    """
    y = np.array([[[s + d + r for r in (-1, 1)] for d in (-2, 2)] for s in (0, 10)])
    assert components(y) == Components(seed=(200 - 16) / 4, draw=(16 - 2) / 2, repeat=2.0)


def test_a_level_of_one_member_has_no_variance_of_its_own():
    y = np.array([[1.0, 3.0], [5.0, 9.0]])  # MS within = (2 + 8)/2 = 5; MS between = 2·((-2.5)² + 2.5²) = 25
    draws, repeats = components(y[:, :, None]), components(y[:, None, :])
    assert (draws.seed, draws.draw, repeats.seed, repeats.repeat) == (10, 5, 10, 5)
    assert math.isnan(draws.repeat)
    assert math.isnan(repeats.draw)
    alone = components(np.array([1.0, 2.0, 6.0])[:, None, None])
    assert alone.seed == pytest.approx(np.var([1, 2, 6], ddof=1))
    assert math.isnan(components(np.ones((1, 2, 2))).seed)


def test_estimates_may_be_negative():
    y = np.array([[0.0, 10.0], [0.0, 10.0]])[:, None, :]
    assert components(y).seed == pytest.approx(-25)  # (0 − 50) / 2


def slow(y):
    """Solve the three equations for the expected mean squares, sums written as loops."""
    s, d, r = y.shape
    ms_seed = sum(d * r * (y[i].mean() - y.mean()) ** 2 for i in range(s)) / (s - 1)
    ms_draw = sum(r * (y[i, j].mean() - y[i].mean()) ** 2 for i in range(s) for j in range(d)) / (s * (d - 1))
    ms_repeat = sum((y[i, j, k] - y[i, j].mean()) ** 2 for i in range(s) for j in range(d) for k in range(r))
    expected = [[d * r, r, 1], [0, r, 1], [0, 0, 1]]
    return np.linalg.solve(expected, [ms_seed, ms_draw, ms_repeat / (s * d * (r - 1))])


@pytest.mark.parametrize("shape", [(2, 2, 2), (5, 3, 2), (4, 2, 6)])
def test_equal_to_the_equations_solved(shape):
    y = np.random.default_rng(0).normal(size=shape)
    got = components(y)
    assert [got.seed, got.draw, got.repeat] == pytest.approx(slow(y))


def test_planted_variances_are_recovered_on_average():
    draw = np.random.default_rng(1)
    planted = np.array([4.0, 1.0, 0.25])
    estimates = []
    for _ in range(2000):
        a, b, e = draw.normal(size=(6, 1, 1)), draw.normal(size=(6, 3, 1)), draw.normal(size=(6, 3, 2))
        got = components(2 * a + b + 0.5 * e)
        estimates.append([got.seed, got.draw, got.repeat])
    errors = np.std(estimates, axis=0) / math.sqrt(len(estimates))
    assert (np.abs(np.mean(estimates, axis=0) - planted) < 4 * errors).all()
    assert (errors < planted / 20).all()


@pytest.mark.parametrize("values", [np.ones((2, 2)), np.full((2, 2, 2), np.nan), np.ones((0, 2, 2))])
def test_other_tables_are_refused(values):
    with pytest.raises(ValueError, match=r"finite values of shape \(seeds, draws, repeats\)"):
        components(values)


def rows(hits, ta=0.8):
    """Return paths that reach UA 0 at an update (None: never), having lost accuracy on test data, by (seed, draw, repeat)."""
    table = []
    for (seed, draw, repeat), hit in hits.items():
        place = {
            "seed": seed, "arm": "base", "stage": "grokked", "forget": "class", "method": "gradient_ascent",
            "draw": draw, "repeat": repeat,
        }  # fmt: skip
        start = place | {
            "dose": 0.0,
            "updates": 0,
            "UA": 1.0,
            "RA": 1.0,
            "TA": 0.9,
            "bystander_accuracy": None,
            "reached_0.1": False,
        }
        done = hit is not None
        end = start | {"dose": hit or BUDGET, "updates": hit or BUDGET, "TA": ta + seed / 100, "reached_0.1": done}
        table += [start, end]
    return pd.DataFrame(table).astype({"reached_0.1": "boolean"})


def test_components_of_a_study(tiny):
    recipe = tiny("seeds=[0, 1, 2]", "unlearn=[{kind: gradient_ascent}]", "forget_draws=2", "unlearn_seeds=2")
    hits = {(s, d, r): math.exp(1 + s + 0.5 * d + 0.1 * r) for s in range(3) for d in range(2) for r in range(2)}
    hits[2, 1, 1] = None  # so that seed 2 does not count
    table = variance_components(rows(hits), recipe, DOSES)
    assert list(table) == COLUMNS
    assert table["quantity"].tolist() == ["updates", "RA drop", "TA drop"]  # there are no bystanders
    assert table[["complete", "seeds"]].to_numpy().tolist() == [[2, 3]] * 3
    updates, retained, tested = table[["seed", "draw", "repeat"]].to_numpy()
    logs = np.log([[[hits[s, d, r] for r in range(2)] for d in range(2)] for s in range(2)])
    assert updates.tolist() == pytest.approx(slow(logs).tolist())
    assert retained.tolist() == [0, 0, 0]
    assert tested.tolist() == pytest.approx([np.var([0.1, 0.09], ddof=1), 0, 0])


def test_with_one_complete_seed_nothing_is_estimated(tiny):
    recipe = tiny("seeds=[0, 1]", "unlearn=[{kind: gradient_ascent}]", "unlearn_seeds=2")
    table = variance_components(rows({(0, 0, 0): 5, (0, 0, 1): 6, (1, 0, 0): 5, (1, 0, 1): None}), recipe, DOSES)
    assert set(table["complete"]) == {1}
    assert table[["seed", "draw", "repeat"]].isna().all(axis=None)
    never = variance_components(rows({(0, 0, 0): None, (0, 0, 1): None}), recipe, DOSES)
    assert never[["quantity", "complete", "seeds"]].to_numpy().tolist() == [["updates", 0, 1]]


def test_nothing_where_the_recipe_asks_for_one_of_each(tiny):
    recipe = tiny("seeds=[0, 1]", "unlearn=[{kind: gradient_ascent}]")
    assert variance_components(rows({(0, 0, 0): 5, (1, 0, 0): 6}), recipe, DOSES).empty
