"""Methods that certify: what is kept of the model, how much noise, and what they refuse."""

import math

import pytest
import torch
from torch import nn

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification
from ungrok.methods import UNLEARNERS
from ungrok.methods.certified import Certified, clipping

KINDS = [kind for kind in UNLEARNERS.names() if issubclass(UNLEARNERS.get(kind), Certified)]


def test_which_methods_certify(small):
    assert KINDS == ["noisy_finetune", "output_perturbation"]
    promising = [kind for kind in UNLEARNERS.names() if UNLEARNERS.get(kind)().promise(7) is not None]
    assert promising == KINDS


def test_tensors_are_clipped_together():
    assert clipping([torch.tensor([3.0]), torch.tensor([[4.0]])], 1) == pytest.approx(0.2)
    assert clipping([torch.tensor([3.0]), torch.tensor([[4.0]])], 5.1) == 1
    assert clipping([torch.zeros(2)], 1) == 1


def walk(kind, model, base, **settings):
    draw = torch.Generator().manual_seed(1)
    forget, retain = ([(torch.randn(3, 100, generator=draw), torch.tensor([0, 1, 2]))] for _ in range(2))
    return next(UNLEARNERS.get(kind)(updates=1, **settings).path(model, forget, retain, Classification(), base=base))


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_is_normal_and_around_the_clipped_model(kind):
    model, base = nn.Linear(100, 100), nn.Linear(100, 100)
    sigma, draws = 0.5, 1 if kind == "output_perturbation" else 2  # before the update, and after it
    settings = {"lr": 1e-30, "weight_decay": 0.0, "sigma": sigma, "clip": 2.0}
    after = walk(kind, model, base, **settings).model
    with torch.no_grad():
        moved = [a - b for a, b in zip(model.parameters(), base.parameters(), strict=True)]
        far = math.sqrt(sum(m.square().sum().item() for m in moved))
        center = [b + m * 2 / far for b, m in zip(base.parameters(), moved, strict=True)]
        noise = torch.cat([(a - c).flatten() for a, c in zip(after.parameters(), center, strict=True)])
    z = noise / (sigma * math.sqrt(draws))
    assert far > 2
    assert abs(z.mean()) < 0.04  # four standard errors of 10,100 draws
    assert abs(z.var() - 1) < 0.06
    assert abs((z.abs() < 1).double().mean() - 0.6827) < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_that_is_asked_for_certifies_what_is_asked_for(kind):
    for epsilon, updates in ((0.5, 3), (4.0, 200)):
        promise = UNLEARNERS.get(kind)(epsilon=epsilon, delta=1e-4).promise(updates)
        given = UNLEARNERS.get(kind)(sigma=promise.sigma, delta=1e-4).promise(updates)
        assert promise == given
        assert promise.epsilon <= epsilon * (1 + 1e-6)
    assert str(promise).startswith(f"certifies ε = {promise.epsilon:.3g} at δ = 0.0001 and δ = ")


@pytest.mark.parametrize("kind", KINDS)
def test_running_statistics_are_not_kept(kind):
    """They were taken over the forget set, too, and no noise covers them."""
    model, base = (nn.Sequential(nn.Linear(100, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)) for _ in range(2))
    model[1].running_mean.fill_(7.0)
    after = walk(kind, model, base).model[1]
    expected = base[1].running_mean if kind == "noisy_finetune" else None
    assert (after.running_mean - 7).abs().min() > 1
    assert expected is None or torch.equal(after.running_mean, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_parameters_that_have_been_trained(kind):
    model, base = nn.Linear(100, 3), nn.Linear(100, 3)
    model.bias.requires_grad_(requires_grad=False)
    with pytest.raises(NotApplicable, match=f"{kind}: the frozen parameter bias is not that of base"):
        walk(kind, model, base)
    with torch.no_grad():
        model.bias.copy_(base.bias)
    assert torch.equal(walk(kind, model, base).model.bias, base.bias)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [({"clip": 0}, "clip"), ({"delta": 1}, "delta"), ({"epsilon": 1, "sigma": 1}, "give either epsilon or sigma")],
)
def test_what_is_refused(kind, settings, message):
    with pytest.raises(RecipeError, match=f"{kind}: .*{message}"):
        UNLEARNERS.get(kind)(**settings)
