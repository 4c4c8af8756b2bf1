"""The L1 penalty by hand."""

import pytest
import torch

from ungrok.methods.l1_sparse import L1Sparse, l1_norm


def test_the_norm_is_the_sum_of_all_absolute_values():
    assert l1_norm([torch.tensor([1.0, -2.0]), torch.tensor([[-3.0]])]).item() == 6


def test_the_penalty_falls_from_epoch_to_epoch(linear, close):
    """α·(1 − e/E) in epoch e of E, its gradient the sign of the weights."""
    walk = linear.walk(L1Sparse(lr=0.1, alpha=0.2, momentum=0, weight_decay=0, epochs=2))
    w = linear.weight
    assert len(walk.weights) == 4
    for place, (weights, loss) in enumerate(zip(walk.weights, walk.losses, strict=True)):
        alpha, batch = 0.2 * (1 - (place // 2) / 2), linear.retain[place % 2]
        assert loss == pytest.approx((linear.value(w, batch) + alpha * w.abs().sum()).item())
        w = w - 0.1 * (linear.gradient(w, batch) + alpha * w.sign())
        close(weights, w)
