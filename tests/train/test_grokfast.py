"""Gradient filters against slow versions of their formulas."""

from collections import deque

import pytest
import torch
from torch import nn

from ungrok.train.grokfast import GrokfastEMA, GrokfastMA


def slow_ema(gradients, alpha, strength):
    out, average = [], None
    for g in gradients:
        average = g if average is None else alpha * average + (1 - alpha) * g
        out.append(g + strength * average)
    return out


def slow_ma(gradients, window, strength):
    out, queue = [], deque(maxlen=window)
    for g in gradients:
        queue.append(g)
        out.append(g + strength * sum(queue) / window if len(queue) == window else g)
    return out


def test_a_missing_gradient_counts_as_0():
    """An expert that a batch does not reach: its average goes on falling, and moves it."""
    draw = torch.Generator().manual_seed(0)
    gradients = torch.randn(6, 3, generator=draw)
    gradients[[0, 3, 4]] = 0
    for config, slow in (
        (GrokfastEMA(alpha=0.9), slow_ema(gradients, 0.9, 2.0)),
        (GrokfastMA(window=2), slow_ma(gradients, 2, 5.0)),
    ):
        parameter = nn.Parameter(torch.zeros(3))
        gradient_filter = config.build([parameter])
        for g, expected in zip(gradients, slow, strict=True):
            parameter.grad = g.clone() if g.any() else None
            gradient_filter()
            torch.testing.assert_close(parameter.grad, expected)


CASES = {
    "ema": (GrokfastEMA(alpha=0.9, strength=2.0), lambda g: slow_ema(g, 0.9, 2.0)),
    "ma": (GrokfastMA(window=7, strength=5.0), lambda g: slow_ma(g, 7, 5.0)),
    "window 1": (GrokfastMA(window=1, strength=5.0), lambda g: [6 * x for x in g]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_filtered_gradients(case):
    config, slow = case
    draw = torch.Generator().manual_seed(0)
    gradients = torch.randn(30, 2, 3, generator=draw)
    # Early gradients are much larger than late ones: a running sum in float32 would not forget them.
    gradients *= torch.logspace(8, -4, 30).view(-1, 1, 1)
    parameters = [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(2, 3))]
    apply, found = config.build(parameters), []
    for gradient in gradients:
        for factor, parameter in enumerate(parameters, 1):
            parameter.grad = factor * gradient
        apply()
        assert torch.allclose(parameters[1].grad, 2 * parameters[0].grad, rtol=1e-5)
        found.append(parameters[0].grad.clone())
    for one, other in zip(found, slow(list(gradients.double())), strict=True):
        assert torch.allclose(one.double(), other, rtol=1e-5)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("moved", [0, 3, 11])
def test_state_carries_over(case, moved):
    config, _ = case
    straight, first, second = (nn.Parameter(torch.zeros(3)) for _ in range(3))
    filters = [config.build([p]) for p in (straight, first, second)]
    gradients = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    for index, gradient in enumerate(gradients):
        if index == moved:
            filters[2].restore(filters[1].state())
        live = 2 if index >= moved else 1
        straight.grad, (first, second)[live - 1].grad = gradient.clone(), gradient.clone()
        filters[0]()
        filters[live]()
    assert torch.equal(straight.grad, second.grad)
