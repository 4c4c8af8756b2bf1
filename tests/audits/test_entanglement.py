"""Entanglement: closed forms, two far clusters, one distribution, and the null of random splits."""

import numpy as np
import pytest
from scipy import stats

from ungrok.audits.entanglement import entanglement
from ungrok.core.errors import RecipeError


def test_it_is_variance_within_over_squared_distance():
    retain = np.array([[0.0, 1], [0, -1], [1, 0], [-1, 0]])
    forget = np.array([[3.0, 4], [3, 4], [5, 4], [1, 4]])
    # Both within: mean squared distances 1 and 2; the means are 5 apart.
    assert entanglement(retain, forget, draws=2).value == pytest.approx(3 / 25, abs=1e-12)


def test_far_clusters_give_nearly_nothing_and_one_distribution_much():
    rng = np.random.default_rng(0)
    retain, forget = rng.normal(size=(300, 5)), rng.normal(size=(100, 5))
    far = entanglement(retain, forget + 1000, draws=30)
    assert far.value == pytest.approx(10 / 5e6, rel=0.1)
    assert far.interval.low < far.value < far.interval.high < far.null.interval.low
    same = entanglement(retain, forget, draws=30)
    assert same.null.draws.min() < same.value < same.null.draws.max()
    # Squared distance of means: 5 · (1/300 + 1/100) on average.
    assert stats.hmean(same.null.draws) == pytest.approx(10 / (5 * (1 / 300 + 1 / 100)), rel=0.3)
    assert same.null.models == (300, 100)


def test_equal_means_are_infinitely_entangled():
    same = np.array([[1.0], [-1.0], [2.0], [-2.0]])
    outcome = entanglement(same, same, draws=4)
    assert outcome.value == np.inf


def test_features_must_fit():
    with pytest.raises(RecipeError, match="forget: 2 features differ from the 3 of retain"):
        entanglement(np.zeros((4, 3)), np.zeros((4, 2)))
