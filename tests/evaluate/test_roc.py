"""Areas, intervals and rates against hand computation, double loops and simulation."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from ungrok.core.errors import NotApplicable
from ungrok.evaluate.roc import Z, roc, tpr_at


def array(*values):
    return np.array(values, dtype=float)


def slowly(members, others):
    """Return AUC and DeLong's variance from all pairs."""
    wins = [[1.0 if a > b else 0.5 if a == b else 0.0 for b in others] for a in members]
    m, n = len(members), len(others)
    auc = sum(map(sum, wins)) / (m * n)
    of_members = [sum(row) / n for row in wins]
    of_others = [sum(row[j] for row in wins) / m for j in range(n)]
    s10 = sum((v - auc) ** 2 for v in of_members) / (m - 1)
    s01 = sum((v - auc) ** 2 for v in of_others) / (n - 1)
    return auc, s10 / m + s01 / n


def on_logit_scale(auc, variance):
    center, half = math.log(auc / (1 - auc)), 1.959963984540054 * variance**0.5 / (auc * (1 - auc))
    return [1 / (1 + math.exp(-(center + side * half))) for side in (-1, 1)]


def test_by_hand():
    """0.8 and 0.6 beat both, 0.3 ties with one: 4.5 of 6; placements 1, 1, 1/4 and 2/3, 5/6."""
    found = roc(array(0.8, 0.6, 0.3), array(0.5, 0.3))
    assert found.auc == pytest.approx(0.75)
    variance = 0.1875 / 3 + (1 / 72) / 2
    assert [found.low, found.high] == pytest.approx(on_logit_scale(0.75, variance))
    assert [found.low, found.high] == pytest.approx([0.16030, 0.97922], abs=1e-4)
    assert (found.members, found.non_members) == (3, 2)


samples = st.lists(st.integers(0, 8), min_size=2, max_size=12)


@given(samples, samples)
def test_as_from_all_pairs(members, others):
    found = roc(array(*members), array(*others))
    auc, variance = slowly(members, others)
    assert found.auc == pytest.approx(auc)
    assert found.low <= found.auc + 1e-12
    assert found.auc <= found.high + 1e-12
    if variance > 1e-12:
        assert [found.low, found.high] == pytest.approx(on_logit_scale(auc, variance))
    mirrored = roc(-array(*members), -array(*others))
    assert [mirrored.auc, mirrored.low, mirrored.high] == pytest.approx([1 - found.auc, 1 - found.high, 1 - found.low])


@given(samples, samples, st.data())
def test_a_weight_is_so_many_equal_examples(members, others, data):
    weights = data.draw(st.lists(st.integers(1, 4), min_size=len(others), max_size=len(others)))
    weighted = roc(array(*members), array(*others), array(*weights))
    repeated = np.repeat(array(*others), weights)
    assert weighted.auc == pytest.approx(roc(array(*members), repeated).auc)
    assert tpr_at(array(*members), array(*others), 0.5, array(*weights)) in (
        None,
        tpr_at(array(*members), repeated, 0.5),
    )


@pytest.mark.parametrize(("auc", "m", "n"), [(0.5, 30, 60), (0.8, 40, 80), (0.95, 20, 40), (0.99, 10, 30)])
def test_the_interval_covers(auc, m, n):
    """Two normals; at 0.99 a third of the samples do not overlap, and DeLong's variance is 0."""
    draw, shift, hits = np.random.default_rng(0), norm.ppf(auc) * 2**0.5, 0
    for _ in range(1500):
        found = roc(draw.normal(shift, 1, m), draw.normal(0, 1, n))
        hits += found.low <= auc <= found.high
    assert 0.93 <= hits / 1500 <= 0.985


@pytest.mark.parametrize(
    ("members", "others", "auc"), [([3, 4, 5], [1, 2], 1), ([1, 1, 1], [1, 1], 0.5), ([0], [9], 0)]
)
def test_certainty_is_never_claimed(members, others, auc):
    """Where nothing overlaps, or everything ties, the ends solve (A − t)² = z²·V(t)."""
    members, others = np.repeat(array(*members), 3), np.repeat(array(*others), 3)
    found = roc(members, others)
    assert found.auc == auc
    m, n = len(members), len(others)
    size = (m + n) / 2 - 1
    for t in {found.low, found.high} - {0.0, 1.0}:
        variance = t * (1 - t) * (1 + size * (1 - t) / (2 - t) + size * t / (1 + t)) / (m * n)
        assert (auc - t) ** 2 == pytest.approx(Z**2 * variance, rel=1e-6)
    assert found.high - found.low > 0.2


def test_rates_by_hand():
    """Of 100 others, one may be mistaken at 1 %: the threshold lies just above 98."""
    others, members = np.arange(100.0), array(50, 98, 98.5, 99, 99.5)
    assert tpr_at(members, others, 0.01) == 3 / 5
    assert tpr_at(members, others, 0.02) == 4 / 5
    found = roc(members, others)
    assert (found.tpr_at_0_01, found.tpr_at_0_001) == (3 / 5, None)


def test_no_rate_where_it_cannot_be_resolved():
    members = np.zeros(5)
    assert tpr_at(members, np.arange(99.0), 0.01) is None
    assert tpr_at(members, np.arange(100.0), 0.01) == 0
    assert tpr_at(members, np.arange(999.0), 0.001) is None
    assert tpr_at(members, np.arange(1000.0), 0.001) == 0
    assert tpr_at(members, np.arange(1000.0), 0.001, np.r_[2, np.ones(999)]) is None


def test_a_threshold_that_ties_lets_all_through_or_none():
    """Two others share the top value: accepting it would be 2 %."""
    others = np.r_[np.zeros(98), 5, 5]
    assert tpr_at(array(5, 5, 6, 4), others, 0.01) == 1 / 4
    assert tpr_at(array(5, 5, 6, 4), others, 0.02) == 1.0


@given(samples, st.lists(st.integers(0, 8), min_size=10, max_size=20), st.sampled_from([0.1, 0.25, 0.5]))
def test_no_threshold_does_better(members, others, rate):
    members, others = array(*members), array(*others)
    rates = [((members >= t).mean(), (others >= t).mean()) for t in [*np.unique(np.r_[members, others]), np.inf]]
    assert tpr_at(members, others, rate) == pytest.approx(max(tpr for tpr, fpr in rates if fpr <= rate + 1e-9))


def test_large_sets_need_no_matrix_of_pairs():
    draw = np.random.default_rng(0)
    members, others = draw.normal(1, 1, 50_000), draw.normal(0, 1, 10_000)
    tracemalloc.start()
    found = roc(members, others)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert found.auc == pytest.approx(norm.cdf(2**-0.5), abs=0.01)
    assert found.tpr_at_0_001 == pytest.approx(norm.sf(norm.isf(0.001) - 1), abs=0.01)


def test_one_example_is_no_sample():
    with pytest.raises(NotApplicable, match="1 members and 4 non-members: needs 2 each"):
        roc(array(1), array(1, 2, 3, 4))


def test_two_examples_on_each_side_are_a_sample():
    assert roc(array(1, 3), array(0, 2)).auc == 0.75
    for members, others in ((array(1), array(1, 2)), (array(1, 2), array(1))):
        with pytest.raises(NotApplicable, match="needs 2 each"):
            roc(members, others)


def test_weighted_interval_by_its_formula():
    """DeLong's variance with the placements of non-members weighted; equal weights give the plain one."""
    members, others, weights = array(0.8, 0.6, 0.3, 0.1), array(0.5, 0.3, 0.2), np.array([1.0, 2.0, 5.0])
    w = weights / weights.sum()
    wins = np.array([[1.0 * (a > b) + 0.5 * (a == b) for b in others] for a in members])
    above, below = wins @ w, wins.mean(0)
    auc = above.mean()
    variance = above.var(ddof=1) / 4 + (w**2 * (below - auc) ** 2).sum() * 3 / 2
    weighted = roc(members, others, weights)
    assert weighted.auc == pytest.approx(auc)
    assert [weighted.low, weighted.high] == pytest.approx(on_logit_scale(auc, variance))
    assert roc(members, others, np.full(3, 7.0)) == roc(members, others)


def test_weights_count_as_fewer_examples_where_nothing_overlaps():
    """The interval then is that of 1/Σw² non-members."""
    members, others, weights = array(5, 6, 7, 8), array(1, 2, 3), np.array([1.0, 1.0, 4.0])
    n = 36 / 18
    low = roc(members, others, weights).low
    size = (4 + n) / 2 - 1
    variance = low * (1 - low) * (1 + size * (1 - low) / (2 - low) + size * low / (1 + low)) / (4 * n)
    assert (1 - low) ** 2 == pytest.approx(Z**2 * variance, rel=1e-6)
