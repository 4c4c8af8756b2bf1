"""Exact unlearning-k: what the last blocks were is forgotten."""

import torch
from torch import nn

from ungrok.methods.exact_unlearning_k import ExactUnlearningK


def test_the_first_update_leaves_the_fresh_weights(linear, close):
    fresh = nn.Sequential(linear.model())
    fresh[0].weight.data = linear.weight + 1
    path = ExactUnlearningK(lr=0.3, updates=1).path(
        nn.Sequential(linear.model()), linear.forget, linear.retain, linear.objective, factory=lambda: fresh
    )
    w = linear.weight + 1
    close(next(path).model[0].weight.detach(), w - 0.3 * linear.gradient(w, linear.retain[0]))


def test_two_originals_that_differ_in_the_last_block_give_one_model(small):
    one, other = small.network(), small.network()
    with torch.no_grad():
        other[2].weight.add_(1)
    a, b = (small.last("exact_unlearning_k", model, epochs=1).state_dict() for model in (one, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
