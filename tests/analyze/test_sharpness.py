"""Sharpness against closed forms on quadratics, and its invariance to rescaling."""

import copy

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.base import joined
from ungrok.analyze.curvature import Curvature
from ungrok.analyze.operators import hessian, size
from ungrok.analyze.sharpness import Moved, Sharpness, ascent, average_rise, mean_loss
from ungrok.core.objective import Classification


def spectrum(model, made, objective):
    return torch.linalg.eigvalsh(hessian(model, made, objective)(torch.eye(size(model)).double()))


def read(analysis, subject):
    return {(r.measure, r.on): r for r in analysis.measure(subject)}


@pytest.fixture(params=["cross_entropy", "mse"])
def both(request):
    """A network small enough for dense matrices: 47 parameters, 6 examples to forget and 11 to retain."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3)).double()
    x = torch.randn(17, 4, dtype=torch.float64)
    made = list(zip(x.split(6), torch.randint(3, (17,)).split(6), strict=True))
    return Subject(model, Classification(request.param), {"forget": made[:1], "retain": made[1:]})


def quadratic():
    """Squared error of a linear layer: L(w) = L0 + gᵀw + ½wᵀHw exactly."""
    model = nn.Linear(3, 2, bias=False).double()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model.weight.copy_(torch.randn(2, 3, generator=draw, dtype=torch.float64))
    x = torch.randn(8, 3, generator=draw, dtype=torch.float64)
    made = [(x[:5], torch.tensor([0, 1, 1, 0, 1])), (x[5:], torch.tensor([1, 0, 0]))]
    return model, made, Classification("mse")


def test_one_step_is_sams_closed_form():
    model, made, objective = quadratic()
    h = hessian(model, made, objective)(torch.eye(6).double())
    x, y = joined(objective, made)
    g = torch.autograd.grad(objective.losses(model(x), (x, y)).mean(), model.weight)[0].flatten()
    step = 0.3 * g / g.norm()
    expected = g @ step + step @ h @ step / 2
    assert ascent(model, made, objective, 0.3, None, 1) == pytest.approx(expected.item(), rel=1e-10)
    s = model.weight.detach().abs().flatten()
    step = 0.3 * s.square() * g / (s * g).norm()
    expected = g @ step + step @ h @ step / 2
    assert ascent(model, made, objective, 0.3, s, 1) == pytest.approx(expected.item(), rel=1e-10)


def test_many_steps_find_the_maximum_in_the_ball():
    """At the minimum the largest rise is r²·λ_max/2; the gradient there is zero, so start just beside it."""
    model, made, objective = quadratic()
    x, y = joined(objective, made)
    target = torch.nn.functional.one_hot(y).double()
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(x, target).solution.T + 1e-4)
    rise = ascent(model, made, objective, 2.0, None, 100)
    largest = spectrum(model, made, objective)[-1].item()
    assert 0.98 * 2 * largest < rise < 1.001 * 2 * largest
    assert ascent(model, made, objective, 2.0, None, 1) < rise


def test_average_rise_is_half_the_trace():
    """E L(w + rsz) − L(w) = r²/2·tr(SHS) on a quadratic."""
    model, made, objective = quadratic()
    s = model.weight.detach().abs().flatten()
    h = hessian(model, made, objective)(torch.eye(6).double())
    expected = 0.5**2 / 2 * (s.diag() @ h @ s.diag()).trace().item()
    values = [average_rise(model, made, objective, 0.5, s, 50, seed) for seed in range(20)]
    mean, error = torch.tensor(values).mean().item(), torch.tensor(values).std().item() / 20**0.5
    assert mean == pytest.approx(expected, abs=3 * error)
    assert error < 0.1 * expected


def rescaled(model, factor):
    """Multiply a ReLU layer by a factor and the next by its inverse: the same function."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[0].weight.mul_(factor)
        other[0].bias.mul_(factor)
        other[2].weight.div_(factor)
    return other


@pytest.mark.parametrize("factor", [10.0, 0.03])
def test_adaptive_measures_are_invariant_to_rescaling_and_sam_is_not(both, factor):
    """Dinh et al. 2017: flatness of the same function is arbitrary unless the measure is invariant."""
    other = Subject(rescaled(both.model, factor), both.objective, both.sets)
    before, after = (read(Sharpness(draws=0), s) for s in (both, other))
    for name in ("adaptive_sharpness", "adaptive_average"):
        assert after[name, "forget+retain"].value == pytest.approx(before[name, "forget+retain"].value, rel=1e-8)
    assert after["sam_sharpness", "retain"].value != pytest.approx(before["sam_sharpness", "retain"].value, rel=0.1)
    full = {"steps": size(both.model), "products": 3 * size(both.model), "probes": 0, "draws": 0}
    before, after = (read(Curvature(**full), s) for s in (both, other))
    for name in ("adaptive_eigenvalue", "adaptive_trace"):
        assert after[name, "retain"].value == pytest.approx(before[name, "retain"].value, rel=1e-6)
    assert after["hessian_trace", "retain"].value != pytest.approx(before["hessian_trace", "retain"].value, rel=0.1)


def test_weights_come_back_bit_for_bit_even_after_an_error(both):
    before = [p.detach().clone() for p in both.model.parameters()]
    read(Sharpness(draws=1), both)

    def fail():
        with Moved(both.model) as moved:
            moved.to(torch.ones(size(both.model)).double())
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    assert all(torch.equal(a, b) for a, b in zip(before, both.model.parameters(), strict=True))


def test_mean_loss_weighs_examples_not_batches():
    model, made, objective = quadratic()
    x, y = joined(objective, made)
    expected = objective.losses(model(x), (x, y)).mean().item()
    assert mean_loss(model, made, objective) == pytest.approx(expected, rel=1e-12)


def test_a_step_is_two_and_a_half_radii_over_the_number_of_steps():
    """L(w) = w up to 3.5 and 0 beyond: one step of 2.5·4/5 = 2 rises by 2, a second goes over the edge."""

    class Sawtooth(Classification):
        def losses(self, logits, batch):
            return torch.where(logits < 3.5, logits, 0 * logits).sum(dim=1)

    model = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    one = [(torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64))]
    assert ascent(model, one, Sawtooth(), 4.0, None, 5) == pytest.approx(2.0)


def test_an_ascent_that_comes_back_to_its_start_goes_on_from_there():
    """L(w) = w up to 1 and 6 − 2w beyond: one step of 2 rises by 2, the next leads back to 0, and so on."""

    class Tent(Classification):
        def losses(self, logits, batch):
            return torch.where(logits < 1, logits, 6 - 2 * logits).sum(dim=1)

    model = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    batches = [(torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64))]
    assert ascent(model, batches, Tent(), 4.0, None, 5) == pytest.approx(2.0)


def test_there_is_no_null_where_retain_is_not_larger(both):
    for retain in (both.sets["forget"], both.sets["retain"]):  # a smaller set, and one of the same size
        subject = Subject(both.model, both.objective, {"forget": both.sets["retain"], "retain": retain})
        assert all(r.nulls == {} for r in Sharpness(draws=2, noise=2, steps=2).measure(subject))
    found = read(Sharpness(draws=2, noise=2, steps=2), both)
    assert {on for (_, on), r in found.items() if r.nulls} == {"forget"}


def test_sams_sharpness_is_one_step(both):
    found = read(Sharpness(draws=0, noise=2, steps=2, radius=0.2), both)
    expected = ascent(both.model, both.sets["forget"], both.objective, 0.2, None, 1)
    assert found["sam_sharpness", "forget"].value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("steps", [1, 3])
def test_where_there_is_no_slope_nothing_rises_and_a_small_one_is_followed(steps):
    """Logits that do not depend on the weights have none; a thousandth of the loss has a thousandth of the rise."""
    model, made, objective = quadratic()
    flat_batches = [(torch.zeros_like(x), y) for x, y in made]
    assert ascent(model, flat_batches, objective, 0.3, None, steps) == 0

    class Small(Classification):
        def losses(self, logits, batch):
            return 1e-3 * super().losses(logits, batch)

    rise = ascent(model, made, objective, 0.3, None, steps)
    assert ascent(model, made, Small("mse"), 0.3, None, steps) == pytest.approx(1e-3 * rise, rel=1e-9)
