"""CKA against a slow version from the definition and a public implementation; overlaps against known subspaces."""

from itertools import permutations
from math import isnan

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ungrok.analyze.similarity import (
    Rows,
    center,
    cka,
    covariance_overlap,
    isometric,
    linear_cka,
    participation_ratio,
    principal_angles,
    unpaired_expectation,
)
from ungrok.core.errors import NotApplicable


def normal(n, d, seed, scale=1.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def slow_unbiased(x, y):
    """The U-statistic of order 4 (Gretton et al. 2005): the mean over all ordered quadruples of different examples."""
    k, l = x @ x.T, y @ y.T  # noqa: E741
    quads = list(permutations(range(len(x)), 4))
    total = sum(k[i, j] * l[i, j] + k[i, j] * l[q, r] - 2 * k[i, j] * l[i, q] for i, j, q, r in quads)
    return (total / len(quads)).item()


def definition(x, y, unbiased):
    """Both estimators from n×n matrices, as the literature writes them."""
    n, one = len(x), torch.ones(len(x), dtype=torch.float64)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    if not unbiased:
        h = torch.eye(n, dtype=torch.float64) - 1 / n
        return ((h @ k @ h) * l).sum().item() / (n - 1) ** 2
    k, l = k - k.diagonal().diag(), l - l.diagonal().diag()  # noqa: E741
    total = (k @ l).trace() + one @ k @ one * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l @ one)
    return total.item() / (n * (n - 3))


@pytest.mark.parametrize("related", [True, False])
def test_unbiased_hsic_is_the_u_statistic(related):
    x, y = normal(7, 3, 0), normal(7, 4, 1)
    y = x @ y[:3] if related else y
    assert Rows(x).hsic(Rows(y), unbiased=True) == pytest.approx(slow_unbiased(x, y), rel=1e-9, abs=1e-12)


def test_biased_hsic_is_the_squared_norm_of_the_cross_covariance():
    x, y = normal(9, 3, 0), normal(9, 2, 1)
    expected = (center(x).T @ center(y)).square().sum() / 64
    assert Rows(x).hsic(Rows(y), unbiased=False) == pytest.approx(expected.item(), rel=1e-12)


@given(st.integers(4, 12), st.integers(1, 20), st.integers(1, 20), st.booleans(), st.integers(0, 99))
def test_features_and_gram_matrices_agree_with_the_definition(n, a, b, unbiased, seed):
    x, y = normal(n, a, seed) + 1, normal(n, b, seed + 1) - 2
    expected = definition(x, y, unbiased)
    assert Rows(x).hsic(Rows(y), unbiased=unbiased) == pytest.approx(expected, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("d", [3, 50])
def test_permuted_rows(d):
    x, y, order = normal(20, d, 0), normal(20, 4, 1), torch.randperm(20)
    found = Rows(x).permuted(order).hsic(Rows(y), unbiased=True)
    assert found == pytest.approx(Rows(x[order]).hsic(Rows(y), unbiased=True), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("d", [3, 50])
def test_invariances_and_identity(unbiased, d):
    """1 of a set with itself; unchanged by rotation, shift and scale; symmetric."""
    x, y = normal(20, d, 0), normal(20, 4, 1)
    rotation = torch.linalg.qr(normal(d, d, 2)).Q
    value = linear_cka(x, y, unbiased=unbiased)
    assert linear_cka(x, x, unbiased=unbiased) == pytest.approx(1, abs=1e-12)
    assert linear_cka(3 * x @ rotation + 5, y, unbiased=unbiased) == pytest.approx(value, rel=1e-9)
    assert linear_cka(y, x, unbiased=unbiased) == pytest.approx(value, rel=1e-12)


def test_float32_features_far_from_the_origin():
    """The mean is taken out before any product, so that a large one costs no digits."""
    x, y = normal(50, 5, 0), normal(50, 5, 1)
    assert linear_cka((x + 1000).float(), y.float()) == pytest.approx(linear_cka(x, y), abs=1e-3)


def test_unbiased_is_zero_on_average_for_independent_rows_and_biased_is_not():
    unbiased, biased = (
        torch.tensor([linear_cka(normal(12, 30, s), normal(12, 30, s + 1000), unbiased=u) for s in range(200)])
        for u in (True, False)
    )
    assert abs(unbiased.mean()) < 3 * unbiased.std() / 200**0.5
    assert biased.mean() > 0.6


@pytest.mark.parametrize(("ratio", "expected"), [(128, 0.50), (83, 0.39), (18, 0.13)])
def test_rank_alone_gives_the_papers_values(ratio, expected):
    """Two independent samples of one distribution, n = 128: a fall of the biased CKA by a fall of rank."""
    assert unpaired_expectation(ratio, ratio, 128) == pytest.approx(expected, abs=0.01)
    x, y = normal(128, ratio, 0), normal(128, ratio, 1)
    assert linear_cka(x, y, unbiased=False) == pytest.approx(expected, abs=0.02)


def test_against_pytorch_cka():
    cka = pytest.importorskip("cka")
    x, y = normal(30, 8, 0), normal(30, 5, 1)
    y = torch.cat([y, x[:, :2]], dim=1)
    assert linear_cka(x, y) == pytest.approx(cka.cka_from_features(x, y).item(), rel=1e-9)


def test_rows_that_are_not_paired_are_refused():
    with pytest.raises(NotApplicable, match="5 and 6"):
        linear_cka(normal(5, 2, 0), normal(6, 2, 0))


def test_constant_features_have_no_cka():
    assert isnan(linear_cka(torch.ones(6, 2, dtype=torch.float64), normal(6, 2, 0)))


def test_participation_ratio_of_known_spectra():
    equal = torch.linalg.qr(center(normal(40, 6, 0))).Q
    assert participation_ratio(equal) == pytest.approx(6)
    assert participation_ratio(normal(40, 1, 0) @ normal(1, 6, 1)) == pytest.approx(1)
    scales = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    assert participation_ratio(equal[:, :3] * scales.sqrt()) == pytest.approx(7**2 / 21)


def test_unbiased_participation_ratio_does_not_saturate_at_n():
    plain, unbiased = (participation_ratio(normal(60, 300, 0), unbiased=u) for u in (False, True))
    assert plain < 60
    assert unbiased == pytest.approx(300, rel=0.1)


def test_covariance_overlap_of_known_covariances():
    """Cosine of diag(1, 1, 0) and diag(0, 1, 1) is 1/2; of disjoint supports 0; of a multiple 1."""
    q = torch.linalg.qr(center(normal(30, 3, 0))).Q
    off = torch.zeros_like(q[:, :1])
    x, y = torch.cat([q[:, :2], off], 1), torch.cat([off, q[:, :2]], 1)
    assert covariance_overlap(x, y) == pytest.approx(0.5)
    assert covariance_overlap(torch.cat([x, off, off], 1), torch.cat([off, off, off, q[:, :2]], 1)) == pytest.approx(0)
    assert covariance_overlap(x, 7 * x + 3) == pytest.approx(1)


@pytest.mark.parametrize("d", [4, 60])
def test_covariance_overlap_in_both_spaces(d):
    x, y = normal(20, d, 0), normal(25, d, 1)
    a, b = torch.cov(x.T), torch.cov(y.T)
    assert covariance_overlap(x, y) == pytest.approx(((a * b).sum() / (a.norm() * b.norm())).item(), rel=1e-10)


def test_principal_angles_of_rotated_planes():
    """Rows in span(e1, e2) and in span(e1 cos 30° + e3 sin 30°, e2): angles 0° and 30°."""
    c, s = 3**0.5 / 2, 0.5
    basis = torch.tensor([[c, 0, s], [0, 1, 0]], dtype=torch.float64)
    coefficients = normal(20, 2, 0)
    x = torch.cat([coefficients, torch.zeros(20, 1, dtype=torch.float64)], 1)
    angles = principal_angles(x + 2, normal(15, 2, 1) @ basis, 2)
    torch.testing.assert_close(angles, torch.tensor([0.0, 30.0], dtype=torch.float64), rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize("d", [5, 60])
def test_isometric_rows_have_the_same_inner_products_overlaps_and_angles(d):
    x = center(normal(20, d, 0))
    small = isometric(x)
    assert small.shape == (20, min(d, 20))
    torch.testing.assert_close(small @ small.T, x @ x.T, rtol=0, atol=1e-10)
    overlap, angles = covariance_overlap(x[:8], x[8:]), principal_angles(x[:8], x[8:], 3)
    assert covariance_overlap(small[:8], small[8:]) == pytest.approx(overlap, rel=1e-9)
    torch.testing.assert_close(principal_angles(small[:8], small[8:], 3), angles, rtol=0, atol=1e-5)


def test_rows_of_low_rank_have_coordinates_in_spite_of_rounding():
    """Thirty multiples of one row: rounding makes some eigenvalues of their inner products negative."""
    x = normal(30, 1, 0).float() @ normal(1, 40, 1).float()
    assert torch.linalg.eigvalsh((x @ x.T).double())[0] < 0
    rows = isometric(x)
    torch.testing.assert_close(rows @ rows.T, (x @ x.T).double(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_no_measure_depends_on_the_unit_of_the_features(scale):
    x, y = normal(20, 5, 0), normal(20, 4, 1)
    small = linear_cka(scale * x, scale * y), linear_cka(scale * x, scale * y, unbiased=False)
    assert small == (pytest.approx(linear_cka(x, y)), pytest.approx(linear_cka(x, y, unbiased=False)))
    assert linear_cka(x, y) == linear_cka(x, y, unbiased=True) == cka(Rows(x), Rows(y))
    for unbiased in (False, True):
        ratio = participation_ratio(scale * x, unbiased=unbiased)
        assert ratio == pytest.approx(participation_ratio(x, unbiased=unbiased))
    overlap = covariance_overlap(scale * x[:, :4], scale * y)
    assert overlap == pytest.approx(covariance_overlap(x[:, :4], y))


def test_constant_features_are_no_direction():
    constant, x = torch.ones(6, 2, dtype=torch.float64), normal(6, 2, 0)
    for one, two in ((constant, x), (x, constant), (constant, constant)):
        assert isnan(linear_cka(one, two))
        assert isnan(linear_cka(one, two, unbiased=False))
        assert isnan(covariance_overlap(one, two))
    assert isnan(participation_ratio(constant))


def test_four_rows_are_the_fewest():
    assert -1.5 < linear_cka(normal(4, 2, 0), normal(4, 3, 1)) < 1.5
    with pytest.raises(NotApplicable, match="at least 4, not 3 and 3"):
        linear_cka(normal(3, 2, 0), normal(3, 2, 1))


def test_an_unbiased_ratio_is_infinite_where_its_square_is_not_positive():
    """Four orthogonal rows of one length: centered, their kernel is that of a simplex, and the estimate of tr Σ² is 0 or less."""
    rows = 0.1 * torch.eye(4, dtype=torch.float64)
    assert Rows(rows).hsic(Rows(rows), unbiased=True) <= 0
    assert participation_ratio(rows, unbiased=True) == float("inf")


def test_equal_subspaces_are_at_no_angle_in_spite_of_rounding():
    for seed in range(20):
        x = normal(30, 6, seed)
        angles = principal_angles(x, x, 3)
        assert angles.max() < 1e-4
