"""Memorization, influence and the worst forget set: closed forms, a nearest neighbor on labels drawn at random, and the null."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from ungrok.audits.memorization import influence, memorization, worst_case
from ungrok.core.errors import RecipeError


def drawn(seed, models, examples):
    """Return what models held: half of them each example."""
    rng = np.random.default_rng(seed)
    return rng.permuted(np.repeat([[True], [False]], models // 2, axis=0).repeat(examples, axis=1), axis=0)


def test_it_is_a_difference_of_two_means():
    held = np.array([[1, 0], [1, 1], [0, 1], [1, 0]], dtype=bool)
    correct = np.array([[1, 0], [0, 1], [0, 1], [1, 1]], dtype=bool)
    assert_allclose(memorization(correct, held, draws=2).values, [2 / 3, 1 - 1 / 2])


@pytest.mark.parametrize("answer", [0, 1])
def test_a_constant_predictor_memorizes_nothing(answer):
    held = drawn(0, 12, 30)
    outcome = memorization(np.full(held.shape, answer), held, draws=5)
    assert (outcome.values == 0).all()
    assert (outcome.null.draws == 0).all()


def test_a_nearest_neighbor_on_isolated_random_labels():
    rng = np.random.default_rng(1)
    classes, models, examples = 4, 64, 60
    places, labels, held = (
        rng.normal(size=(examples, 20)),
        rng.integers(0, classes, examples),
        drawn(2, models, examples),
    )
    distance = ((places[:, None] - places[None]) ** 2).sum(axis=-1)
    correct = np.stack([labels[np.flatnonzero(row)[distance[:, row].argmin(axis=1)]] == labels for row in held])
    outcome = memorization(correct, held, draws=20)
    # Held, it is its own neighbor; not held, another one answers, which agrees by chance.
    assert outcome.mean == pytest.approx(1 - 1 / classes, abs=4 * stats.sem(outcome.values))
    assert outcome.interval.low > outcome.null.upper
    assert outcome.needed.models <= models
    assert np.abs(outcome.null_values).mean() < 0.2


def test_the_null_is_centered_and_keeps_blocks_whole():
    rng = np.random.default_rng(3)
    held, correct = drawn(3, 20, 1).repeat(5, axis=1), rng.random((20, 1)).repeat(5, axis=1) < 0.5
    outcome = memorization(correct, held, draws=300)
    assert (outcome.null_values == outcome.null_values[:, :1]).all()
    assert abs(outcome.null.mean) < 4 * stats.sem(outcome.null.draws)
    assert outcome.over_examples == (outcome.mean, outcome.mean)


def test_thirds_go_from_low_to_high():
    held = drawn(4, 8, 7)
    correct = held & (np.arange(7) % 3 > 0)
    correct[0] &= np.arange(7) != 1
    outcome = memorization(correct, held, draws=2)
    low, middle, high = outcome.thirds()
    assert sorted([*low, *middle, *high]) == [*range(7)]
    assert outcome.values[low].max() <= outcome.values[middle].min()
    assert outcome.values[middle].max() <= outcome.values[high].min()
    assert len(low) == 3


def test_influence_has_memorization_on_its_diagonal():
    rng = np.random.default_rng(5)
    held, correct, elsewhere = drawn(5, 10, 6), rng.random((10, 6)) < 0.6, rng.random((10, 4)) < 0.6
    values = influence(correct, held)
    assert_allclose(np.diagonal(values), memorization(correct, held, draws=2).values, atol=1e-12)
    expected = elsewhere[held[:, 2], 3].mean() - elsewhere[~held[:, 2], 3].mean()
    assert influence(correct, held, on=elsewhere).shape == (6, 4)
    assert influence(correct, held, on=elsewhere)[2, 3] == pytest.approx(expected, abs=1e-12)


def damage(values, chosen):
    return sum(values[i, j] for i in chosen for j in range(len(values)) if j not in chosen)


@pytest.mark.parametrize("seed", range(5))
def test_the_worst_set_is_built_from_the_best_next_example_and_near_the_best_of_all_sets(seed):
    values = np.random.default_rng(seed).random((8, 8)) - 0.2
    picked: list[int] = []
    for _ in range(3):
        picked.append(max(set(range(8)) - {*picked}, key=lambda i: damage(values, [*picked, i])))
    assert worst_case(values, 3).tolist() == picked
    best = max(damage(values, chosen) for chosen in combinations(range(8), 3))
    assert damage(values, picked) >= (1 - 1 / np.e) * best
    alone = values.mean(axis=1, keepdims=True).repeat(8, axis=1)
    exact = max(combinations(range(8), 3), key=lambda chosen: damage(alone, chosen))
    assert sorted(worst_case(alone, 3)) == [*exact], "where each example does as much to all others"


def test_the_worst_set_leaves_some_examples():
    with pytest.raises(RecipeError, match="size: 4 is not allowed; 1 to 3 examples"):
        worst_case(np.eye(4), 4)
    with pytest.raises(RecipeError, match="square"):
        worst_case(np.ones((4, 3)), 1)


@pytest.mark.parametrize(
    ("correct", "held", "message"),
    [
        (np.full((4, 2), 0.5), np.eye(4)[:, :2], "correct: only 0 and 1"),
        (np.ones((4, 3)), np.eye(4)[:, :2], "differs from that of correct"),
        (np.ones((4, 2)), np.ones((4, 2)), "2 examples were held by all models or by none"),
    ],
)
def test_what_is_refused(correct, held, message):
    with pytest.raises(RecipeError, match=message):
        memorization(correct, held)
    with pytest.raises(RecipeError, match="on: 5 models"):
        influence(np.ones((4, 2)), np.eye(4)[:, :2], on=np.ones((5, 2)))
