"""NegGrad+ by hand."""

import pytest

from ungrok.methods.neggrad_plus import NegGradPlus


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9999, 1.0])
def test_one_step_descends_on_retain_and_climbs_on_forget(linear, close, alpha):
    walk = linear.walk(NegGradPlus(lr=0.3, alpha=alpha, momentum=0, weight_decay=0, epochs=1))
    (forget,), w = linear.forget, linear.weight
    for weights, loss, retain in zip(walk.weights, walk.losses, linear.retain, strict=True):
        expected = alpha * linear.value(w, retain) - (1 - alpha) * linear.value(w, forget)
        assert loss == pytest.approx(expected.item())
        w = w - 0.3 * (alpha * linear.gradient(w, retain) - (1 - alpha) * linear.gradient(w, forget))
        close(weights, w)


def test_forget_batches_start_over_when_they_run_out(linear, close):
    linear.forget, linear.retain = linear.retain, linear.forget * 3
    walk = linear.walk(NegGradPlus(lr=0.3, alpha=0.5, momentum=0, weight_decay=0, epochs=1))
    w = linear.weight
    for weights, retain, forget in zip(walk.weights, linear.retain, [linear.forget[i] for i in (0, 1, 0)], strict=True):
        w = w - 0.15 * (linear.gradient(w, retain) - linear.gradient(w, forget))
        close(weights, w)
