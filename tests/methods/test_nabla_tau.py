"""∇τ by hand."""

import pytest
import torch

from ungrok.methods.nabla_tau import NablaTau, squared_shortfall

LR = 0.3


def sorted_by_loss(linear):
    """Return the forget and validation batches as (less, more) loss under the first weights."""
    batches = [linear.forget[0], linear.validation[0]]
    return sorted(batches, key=lambda batch: linear.value(linear.weight, batch))


@pytest.mark.parametrize(("forget", "validation", "expected"), [(1.0, 3.0, 4.0), (3.0, 1.0, 0.0), (1.0, 1.0, 0.0)])
def test_the_shortfall_is_zero_once_the_validation_loss_is_reached(forget, validation, expected):
    assert squared_shortfall(torch.tensor(forget), torch.tensor(validation)).item() == expected


def test_climbs_by_twice_the_shortfall_with_decaying_alpha(linear, close):
    """α_t = α·(1 − t/T); the validation loss is a constant to the gradient."""
    low, high = sorted_by_loss(linear)
    linear.forget = [low]
    walk = linear.walk(NablaTau(lr=LR, alpha=0.8, momentum=0, weight_decay=0, epochs=2), validation=[high])
    w, total = linear.weight, 4
    shortfalls = []
    for t, (weights, loss) in enumerate(zip(walk.weights, walk.losses, strict=True)):
        alpha, retain = 0.8 * (1 - t / total), linear.retain[t % 2]
        shortfalls.append(max(0.0, (linear.value(w, high) - linear.value(w, low)).item()))
        expected = alpha * shortfalls[-1] ** 2 + (1 - alpha) * linear.value(w, retain).item()
        assert loss == pytest.approx(expected)
        w = w - LR * ((1 - alpha) * linear.gradient(w, retain) - 2 * alpha * shortfalls[-1] * linear.gradient(w, low))
        close(weights, w)
    assert shortfalls[0] > 0


def test_stops_climbing_at_the_validation_loss(linear, close):
    low, high = sorted_by_loss(linear)
    linear.forget = [high]
    walk = linear.walk(NablaTau(lr=LR, alpha=0.8, momentum=0, weight_decay=0, updates=1), validation=[low])
    w = linear.weight
    close(walk.weights[0], w - LR * (1 - 0.8) * linear.gradient(w, linear.retain[0]))


def test_alpha_one_begins_on_the_forget_term_alone(linear, close):
    low, high = sorted_by_loss(linear)
    linear.forget = [low]
    walk = linear.walk(NablaTau(lr=LR, alpha=1, momentum=0, weight_decay=0, updates=5), validation=[high])
    w = linear.weight
    shortfall = linear.value(w, high) - linear.value(w, low)
    close(walk.weights[0], w + LR * 2 * shortfall * linear.gradient(w, low))
