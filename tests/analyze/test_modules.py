"""The paper's toy model of modules, and overlaps by hand."""

import pytest
import torch

from ungrok.analyze.modules import fit_modules, overlap


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def toy(p, rho, n=200, modules=400, width=6, seed=0):
    """The paper's toy model: module m of example i is active with probability p, its parts correlated by ρ."""
    generator = draw(seed)
    active = torch.rand(n, modules, generator=generator) < p
    shared = torch.randn(1, modules, width, generator=generator, dtype=torch.float64)
    own = torch.randn(n, modules, width, generator=generator, dtype=torch.float64)
    rows = (active[..., None] * (rho**0.5 * shared + (1 - rho) ** 0.5 * own)).flatten(1)
    unit = torch.nn.functional.normalize(rows, dim=1)
    return unit @ unit.T, active


@pytest.mark.parametrize(("p", "rho"), [(0.2, 0.8), (0.6, 0.3)])
def test_modules_recover_p_and_rho_of_the_papers_toy(p, rho):
    fit = fit_modules(*toy(p, rho))
    assert fit.p == pytest.approx(p, abs=0.01)
    assert fit.overlap == pytest.approx(p, abs=0.01)
    assert fit.rho == pytest.approx(rho, abs=0.03)
    assert fit.predicted == pytest.approx(fit.mean_cosine, abs=0.01)


def test_r2_tells_whether_activity_explains_the_cosines():
    """Groups of examples that share modules: overlaps differ, and with them the cosines; shuffled, they explain nothing."""
    left, right = toy(0.3, 0.9, n=40, seed=1), toy(0.3, 0.9, n=40, seed=2)
    cosines = torch.block_diag(left[0], right[0])
    active = torch.block_diag(left[1].double(), right[1].double()).bool()
    fit = fit_modules(cosines, active)
    assert fit.r2 > 0.9
    assert fit.null.high < 0.3


def test_overlap_by_hand():
    active = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    expected = [[1, 0.5**0.5, 0], [0.5**0.5, 1, 0], [0, 0, 0]]
    torch.testing.assert_close(overlap(active), torch.tensor(expected, dtype=torch.float64))
