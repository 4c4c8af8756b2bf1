"""Weight dropout: what is dropped is zero, what is kept is as it was."""

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.methods.weight_dropout import WeightDropout


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_weights_are_zero_with_the_given_probability_and_otherwise_as_they_were(share):
    model = nn.Linear(100, 100)
    batch = [(torch.randn(2, 100), torch.tensor([0, 1]))]
    method = WeightDropout(optimizer="sgd", lr=1e-50, share=share, updates=1)
    ends = [
        next(method.path(model, batch, [(-x, y) for x, y in batch], Classification(), seed=s)).model.weight
        for s in (0, 1)
    ]
    dropped = [w == 0 for w in ends]
    for w, zero in zip(ends, dropped, strict=True):
        assert torch.equal(w[~zero], model.weight[~zero])
        assert abs(zero.float().mean() - share) < 0.02  # four standard deviations of 10,000 draws
    assert not torch.equal(*dropped)


@pytest.mark.parametrize("share", [-0.1, 1])
def test_shares_out_of_range(share):
    with pytest.raises(RecipeError, match="weight_dropout: share"):
        WeightDropout(share=share)
