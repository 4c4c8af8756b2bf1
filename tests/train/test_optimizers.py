"""Optimizers and schedules against their formulas."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ungrok.train.optimizers import OPTIMIZERS, SGD, AdamW, OrthogradAdamW, orthogonalize


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


@given(st.integers(2, 30), st.integers(0, 100))
def test_orthogonalized_gradient_is_orthogonal_and_as_long(n, seed):
    draw = torch.Generator().manual_seed(seed)
    gradient, weight = torch.randn(2, n, 2, generator=draw, dtype=torch.float64)
    found = orthogonalize(gradient, weight)
    assert found.shape == gradient.shape
    assert abs((found * weight).sum()) < 1e-9 * weight.norm() * gradient.norm()
    assert found.norm().item() == pytest.approx(gradient.norm().item(), rel=1e-12)
    # It lies in the plane of the two, on the gradient's side.
    assert (found * gradient).sum() > 0
    plane = torch.stack([gradient.flatten(), weight.flatten(), found.flatten()])
    assert torch.linalg.matrix_rank(plane, rtol=1e-9) == 2


@pytest.mark.parametrize(
    ("gradient", "weight", "expected"),
    [
        ((3.0, 4.0), (2.0, 0.0), (0.0, 5.0)),
        ((3.0, 4.0), (0.0, 0.0), (3.0, 4.0)),
        ((0.0, 0.0), (1.0, 2.0), (0.0, 0.0)),
        ((0.0, 7.0), (1.0, 0.0), (0.0, 7.0)),
    ],
)
def test_orthogonalize_by_hand(gradient, weight, expected):
    assert torch.allclose(orthogonalize(column(*gradient), column(*weight)), column(*expected))


@pytest.mark.parametrize(("weight", "bias"), [((2.0, 0.0), (1.0, 1.0)), ((1.0, 1.0), (0.0, 0.0))])
def test_one_step_of_orthogonal_adamw_by_hand(weight, bias):
    """The first AdamW update is ``−lr·g/(|g| + ε)`` after decay; g is made orthogonal for each tensor on its own."""
    lr, decay, eps = 0.1, 0.5, 1e-3
    parameters = [nn.Parameter(column(*weight)), nn.Parameter(column(*bias))]
    gradients = [column(3.0, 4.0), column(1.0, -2.0)]
    expected = []
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
        w = parameter.detach()
        g = gradient - (w @ gradient) / (w @ w) * w if w.any() else gradient
        g = g * gradient.norm() / g.norm()
        expected.append(w * (1 - lr * decay) - lr * g / (g.abs() + eps))
    OrthogradAdamW(lr=lr, weight_decay=decay, eps=eps).build(parameters).step()
    for parameter, value in zip(parameters, expected, strict=True):
        assert torch.allclose(parameter.detach(), value, rtol=1e-12)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_where_adam_puts_the_decay_by_hand(kind):
    """Two updates: Adam adds ``λ·w`` to the gradient, which both moments see; AdamW shrinks the weights by ``1 − lr·λ``."""
    lr, decay, eps, (b1, b2) = 0.1, 0.5, 1e-3, (0.8, 0.9)
    parameter, w, m, v = nn.Parameter(column(1.0, -2.0)), column(1.0, -2.0), 0.0, 0.0
    optimizer = OPTIMIZERS.get(kind)(lr=lr, weight_decay=decay, eps=eps, betas=(b1, b2)).build([parameter])
    for step, raw in enumerate([column(0.3, 0.4), column(-1.0, 2.0)], start=1):
        parameter.grad = raw.clone()
        optimizer.step()
        g = raw + decay * w if kind == "adam" else raw
        w = w if kind == "adam" else w * (1 - lr * decay)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w = w - lr * (m / (1 - b1**step)) / ((v / (1 - b2**step)).sqrt() + eps)
    assert torch.allclose(parameter.detach(), w, rtol=1e-12)


def test_orthogonal_adamw_leaves_parameters_without_a_gradient():
    parameters = [nn.Parameter(column(1.0, 2.0)), nn.Parameter(column(1.0, 2.0))]
    parameters[0].grad = column(1.0, 0.0)
    OrthogradAdamW(weight_decay=0.1).build(parameters).step()
    assert parameters[1].tolist() == [1.0, 2.0]
    assert parameters[0].tolist() != [1.0, 2.0]


@pytest.mark.parametrize("kind", OPTIMIZERS.names())
def test_settings_reach_the_optimizer(kind):
    settings = {
        "lr": 0.03,
        "weight_decay": 0.2,
        **({"momentum": 0.7} if kind == "sgd" else {"betas": (0.8, 0.9), "eps": 1e-4}),
    }
    (group,) = OPTIMIZERS.get(kind)(**settings).build([nn.Parameter(column(1.0))]).param_groups
    assert {name: group[name] for name in settings} == settings


@pytest.mark.parametrize("warmup", [0, 4])
@pytest.mark.parametrize("optimizer", [SGD, AdamW])
def test_constant_schedule(optimizer, warmup):
    config = optimizer(lr=0.2, warmup=warmup)
    rates = [config.lr_at(step, 10) for step in range(10)]
    assert rates == pytest.approx([0.05, 0.1, 0.15, 0.2][:warmup] + [0.2] * (10 - warmup))


@given(st.integers(1, 200), st.integers(0, 50))
def test_cosine_schedule(steps, warmup):
    config = SGD(lr=0.2, schedule="cosine", warmup=warmup)
    rates = [config.lr_at(step, steps) for step in range(steps)]
    for step, rate in enumerate(rates):
        if step < warmup:
            assert rate == pytest.approx(0.2 * (step + 1) / warmup)
        else:
            assert rate == pytest.approx(0.1 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))
    after = rates[warmup:]
    assert after == sorted(after, reverse=True)
    assert all(rate > 0 for rate in rates)
    assert max(rates) <= 0.2 + 1e-15
    assert config.lr_at(max(steps, warmup + 1), max(steps, warmup + 1)) == pytest.approx(0, abs=1e-17)
