"""Gradient ascent by hand."""

import pytest

from ungrok.methods.gradient_ascent import GradientAscent

LR = 0.3


def test_one_step_climbs_the_forget_loss(linear, close):
    walk = linear.walk(GradientAscent(lr=LR, momentum=0, weight_decay=0, epochs=1))
    (forget,) = linear.forget
    close(walk.weights[0], linear.weight + LR * linear.gradient(linear.weight, forget))
    assert walk.losses[0] == pytest.approx(-linear.value(linear.weight, forget).item())
    assert linear.value(walk.weights[0], forget) > linear.value(linear.weight, forget)


def test_momentum_and_weight_decay(linear, close):
    walk = linear.walk(GradientAscent(lr=LR, momentum=0.9, weight_decay=0.1, updates=3))
    (forget,) = linear.forget
    w, velocity = linear.weight, 0
    assert len(walk.weights) == 3
    for weights in walk.weights:
        velocity = 0.9 * velocity - linear.gradient(w, forget) + 0.1 * w
        w = w - LR * velocity
        close(weights, w)


def test_needs_no_retain_data(linear):
    path = GradientAscent(epochs=2).path(linear.model(), linear.forget, None, linear.objective)
    assert len(list(path)) == path.budget == 2
