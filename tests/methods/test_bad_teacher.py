"""Bad teaching by hand."""

import pytest
import torch
from torch import nn

from ungrok.methods.bad_teacher import BadTeacher

LR, T = 0.3, 2.0


def softmax(z):
    return z.exp() / z.exp().sum(1, keepdim=True)


def test_one_update_by_hand(linear, close):
    """The original's divergence has no gradient yet; the random teacher's is averaged over the examples of both batches."""
    draw = torch.Generator().manual_seed(9)
    random = torch.randn(3, 2, generator=draw, dtype=torch.float64)

    def factory():
        model = nn.Linear(2, 3, bias=False).double()
        model.weight.data = random.clone()
        return model

    method = BadTeacher(optimizer="sgd", momentum=0, lr=LR, temperature=T, share=1.0, updates=1)
    walk = linear.walk(method, factory=factory)
    (x, _), (r, _) = linear.forget[0], linear.retain[0]
    p, q = softmax(x @ random.T / T), softmax(x @ linear.weight.T / T)
    n = len(x) + len(r)
    assert walk.losses[0] == pytest.approx((T**2 * (p * (p / q).log()).sum() / n).item())
    close(walk.weights[0], linear.weight - LR * T * (q - p).T @ x / n)


@pytest.mark.parametrize(("share", "updates"), [(0.1, 1), (0.3, 1), (0.5, 2), (1.0, 4)])
def test_the_share_of_retain_batches(small, share, updates):
    assert small.path("bad_teacher", retain=small.batches() * 4, share=share, epochs=1).budget == updates
