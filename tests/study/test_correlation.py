"""Partial rank correlations against regressions written out, intervals over seeds, permutations over places."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr

from ungrok.study.correlation import (
    orders,
    partial_rank_correlation,
    permutation_p,
    permuted,
    pseudo_values,
    simultaneous,
    smallest_p,
)


def residuals(y, z):
    design = np.stack([np.ones_like(z), z], axis=1)
    return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]


def test_partial_is_the_correlation_of_residual_ranks():
    random = np.random.default_rng(0)
    x, y, z = random.normal(size=(3, 40))
    y = y + x + np.round(z)
    rx, ry, rz = map(rankdata, (x, y, z))
    expected = np.corrcoef(residuals(rx, rz), residuals(ry, rz))[0, 1]
    assert partial_rank_correlation(x, y, z) == pytest.approx(expected)
    assert partial_rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)


def test_weights_count_points_by_their_ranks_among_all():
    random = np.random.default_rng(0)
    x, y, z = (rankdata(v) for v in random.normal(size=(3, 12)))
    counts = random.integers(0, 3, (5, 12))
    for count, correlation in zip(counts, partial_rank_correlation(x, y, z, counts.astype(float)), strict=True):
        a, b, c = (np.repeat(v, count) for v in (x, y, z))
        assert correlation == pytest.approx(np.corrcoef(residuals(a, c), residuals(b, c))[0, 1])


def test_a_covariate_that_does_not_vary_changes_nothing_and_one_that_explains_all_leaves_nothing():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 30))
    assert partial_rank_correlation(x, y, np.ones(30)) == pytest.approx(spearmanr(x, y).statistic)
    assert np.isnan(partial_rank_correlation(x, y, np.exp(x)))
    assert np.isnan(partial_rank_correlation(np.ones(30), y))


def made(seed=2, seeds=range(12), copies=1):
    random = np.random.default_rng(seed)
    one = pd.DataFrame({"seed": np.repeat(list(seeds), 3), "change": random.normal(size=3 * len(seeds))})
    one["accuracy"] = random.normal(size=len(one))
    one["damage"] = one["change"] + random.normal(size=len(one))
    return pd.concat([one] * copies)


def test_pseudo_values_are_those_of_leaving_out_a_seed():
    points = made(seeds=[3, 5, 9])
    ranked = points.assign(**{name: rankdata(points[name]) for name in ("change", "damage", "accuracy")})

    def z(rows):
        x, y, a = (rows[name].to_numpy() for name in ("change", "damage", "accuracy"))
        return np.arctanh(np.corrcoef(residuals(x, a), residuals(y, a))[0, 1])

    pseudo = pseudo_values(points, "damage", [3, 5, 7, 9])  # seed 7 is another measure's
    expected = [3 * z(ranked) - 2 * z(ranked[ranked["seed"] != seed]) for seed in (3, 5, 9)]
    np.testing.assert_allclose(pseudo[[0, 1, 3]], expected)
    assert np.isnan(pseudo[2])


def test_whole_seeds_are_left_out_not_points():
    """Ten copies of every point add no information."""
    once, often = (pseudo_values(made(copies=copies), "damage", list(range(12))) for copies in (1, 10))
    np.testing.assert_allclose(often, once, atol=1e-6)


def slow_t(values):
    return values.mean() / (values.std(ddof=1) / np.sqrt(len(values)))


def test_simultaneous_intervals_reach_as_far_as_the_largest_t_of_flipped_seeds():
    random = np.random.default_rng(6)
    pseudo = random.normal([[0.1], [1.0], [0.4]], 0.5, (3, 6))
    pseudo[2, 4] = np.nan
    rows = [row[np.isfinite(row)] for row in pseudo]
    largest = []
    for signs in itertools.product([1, -1], repeat=6):
        flipped = [(row * signs)[np.isfinite(row)] for row in pseudo]
        largest.append(max(abs(slow_t(row)) for row in flipped))
    cut = np.quantile(largest, 0.9, method="higher")
    reach = [cut * row.std(ddof=1) / np.sqrt(len(row)) for row in rows]
    expected = [[np.tanh(row.mean() - r), np.tanh(row.mean() + r)] for row, r in zip(rows, reach, strict=True)]
    np.testing.assert_allclose(simultaneous(pseudo, 0.1), expected)
    assert np.isnan(simultaneous(np.full((2, 6), np.nan), 0.1)).all()


def test_copies_of_a_measure_cost_nothing():
    row = np.random.default_rng(7).normal(0.3, 0.2, (1, 8))
    np.testing.assert_allclose(
        simultaneous(np.repeat(row, 50, axis=0), 0.05), np.repeat(simultaneous(row, 0.05), 50, axis=0)
    )


def test_more_seeds_than_can_be_flipped_in_every_way():
    pseudo = np.random.default_rng(9).normal(0.5, 1, (5, 13))
    np.testing.assert_allclose(simultaneous(pseudo, 0.1), simultaneous(pseudo, 0.1, flips=2**13), atol=0.05)


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_among_measures_of_noise_none_predicts_in_nineteen_of_twenty_studies(shared):
    """At 8 seeds, whatever the measures have in common: 95 % of 200 studies, less three standard errors."""
    wrong = 0
    for study_seed in range(200):
        random = np.random.default_rng(study_seed)
        accuracy, cost = random.normal(size=(2, 8, 6))
        seeds, own = np.repeat(range(8), 6), np.sqrt(shared) * random.normal(size=(8, 6))
        pseudo = []
        for _ in range(15):
            change = accuracy + own + np.sqrt(1 - shared) * random.normal(size=(8, 6))
            points = {"seed": seeds, "change": change.ravel(), "damage": (accuracy + cost).ravel()}
            pseudo.append(
                pseudo_values(pd.DataFrame(points | {"accuracy": accuracy.ravel()}), "damage", list(range(8)))
            )
        low, high = simultaneous(np.stack(pseudo), 0.05).T
        wrong += bool(((low > 0) | (high < 0)).any())
    assert wrong / 200 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def placed(places, seeds=4, seed=0):
    """Points of ``places`` in every seed, as changes from place 0."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(itertools.product(range(seeds), places), columns=["group", "place"])
    table["change"], table["accuracy"], table["damage"] = random.normal(size=(3, len(table)))
    return table.assign(first=0)


def test_every_order_of_places_within_blocks_once():
    made = orders(["a", "a", "a", "b", "b"])
    expected = {
        (*first, *last) for first in itertools.permutations(range(3)) for last in itertools.permutations((3, 4))
    }
    assert made[0].tolist() == [0, 1, 2, 3, 4]
    assert len(made) == 12
    assert set(map(tuple, made.tolist())) == expected


def test_many_orders_are_drawn_the_same_each_time():
    made = orders(["a"] * 6 + ["b"] * 2, most=50)
    assert made.shape == (50, 8)
    assert made[0].tolist() == list(range(8))
    assert (np.sort(made[:, :6]) == np.arange(6)).all()
    assert len(np.unique(made, axis=0)) > 40
    assert (made == orders(["a"] * 6 + ["b"] * 2, most=50)).all()


def slow_permuted(points, order):
    """The correlation within groups after place p of each has got what ``order[p]`` had, the first place 0 included."""
    columns = {name: [] for name in ("change", "damage", "accuracy")}
    for _, own in points.groupby("group"):
        places = [0, *own["place"]]
        ranks = {name: (rankdata([0.0, *own[name]]) - (len(places) + 1) / 2) / len(places) for name in columns}
        for i, place in enumerate(places):
            if order[place] in places:
                columns["change"].append(ranks["change"][places.index(order[place])])
                columns["damage"].append(ranks["damage"][i])
                columns["accuracy"].append(ranks["accuracy"][i])
    change, damage, accuracy = map(np.array, columns.values())
    return np.corrcoef(residuals(change, accuracy), residuals(damage, accuracy))[0, 1]


def test_permuted_is_the_correlation_with_the_measure_of_other_places_in_every_seed():
    points = placed([1, 2, 4])  # no point at place 3: the others keep their order
    ordered = orders(["a"] * 5)
    every = permuted(points, "damage", ordered)
    among = [[place for place in order if place != 3] for order in ordered]
    expected = [slow_permuted(points, dict(zip((0, 1, 2, 4), order, strict=True))) for order in among]
    assert len(every) == 120
    np.testing.assert_allclose(every, expected)


def test_what_gets_a_measure_that_its_seed_lacks_is_left_out():
    points = placed([1, 2]).drop(index=3)  # group 1 was not at place 2
    ordered = np.array([[0, 1, 2], [0, 2, 1], [2, 0, 1]])
    expected = [slow_permuted(points, dict(enumerate(order))) for order in ordered]
    np.testing.assert_allclose(permuted(points, "damage", ordered), expected)


def test_scale_and_level_of_a_seed_do_not_matter():
    points = placed([1, 2, 3])
    ordered = orders(["a"] * 4)
    other = points.assign(
        **{name: points[name] * (1 + 1000 * points["group"]) for name in ("change", "damage", "accuracy")}
    )
    np.testing.assert_allclose(permuted(other, "damage", ordered), permuted(points, "damage", ordered))


def test_p_counts_the_largest_deviation_of_any_row():
    correlations = np.array([[0.9, 0.1, -0.2, 0.0], [0.3, 0.8, -0.7, 0.1], [np.nan] * 4])
    deviations = np.abs(correlations[:2] - correlations[:2].mean(axis=1, keepdims=True))
    deviations = deviations / correlations[:2].std(axis=1, keepdims=True)
    expected = [(deviations.max(axis=0) >= own - 1e-12).mean() for own in deviations[:, 0]]
    p = permutation_p(correlations)
    assert p[:2].tolist() == expected
    assert expected == [0.25, 1.0]
    assert np.isnan(p[2])


def test_no_p_is_smaller_than_one_over_the_number_of_orders():
    assert smallest_p(["a"] * 3) == 1 / 6
    assert smallest_p(["a", "b", "a", "b"]) == 1 / 4
    points = placed([1, 2], seeds=10)
    p = permutation_p(permuted(points.assign(damage=points["change"]), "damage", orders(["a"] * 3))[None])
    assert p[0] == pytest.approx(1 / math.factorial(3))
