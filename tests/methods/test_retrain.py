"""Retraining from scratch."""

import torch

from ungrok.methods.retrain import Retrain


def test_it_depends_on_nothing_of_the_original(small):
    """A retraining that re-initializes only the last layer would."""
    other = small.network()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    a, b = (small.last("retrain", start, epochs=3) for start in (small.network(), other))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_the_first_update_leaves_the_fresh_weights(linear, close):
    """Whose gradient is that of the retain loss."""
    fresh = linear.model()
    fresh.weight.data = linear.weight + 1
    walk = linear.walk(Retrain(lr=0.3, momentum=0, weight_decay=0, updates=1), factory=lambda: fresh)
    w = linear.weight + 1
    close(walk.weights[0], w - 0.3 * linear.gradient(w, linear.retain[0]))
