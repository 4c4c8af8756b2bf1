"""PDU by hand, and its weight beside a loop."""

import pytest
import torch

from ungrok.methods.pdu import PDU, Dual, squared_margin


def test_a_margin_is_from_the_largest_to_the_mean():
    logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0], [-1.0, -4.0, -4.0]])
    assert squared_margin(logits).tolist() == [1.0, 0.0, 4.0]


def test_the_forget_term_is_that_of_the_answers_logits(lm):
    """Log-probabilities of 1/8, 1/4, 1/2, 1/8: the largest lies above the mean of −9/4·log 2 by 5/4·log 2."""
    (value,) = PDU().forget_values(lm.material(), lm.batch(1)).tolist()
    assert value == pytest.approx((1.25 * torch.tensor(2.0).log().item()) ** 2)


def weights_along(losses, **settings):
    """Return λ after each update of a path with these retain losses, two batches an epoch."""
    method, state, path = PDU(**settings), None, []
    material = type("Material", (), {"forget": [0, 1]})()
    material.state = state = method.begin(material)
    for loss in losses:
        state.loss = loss
        method.after_update(material, None)
        path.append(state.weight)
    return path


def test_the_weight_moves_with_the_excess_of_the_retain_loss_once_the_warmup_is_over():
    """Two updates an epoch: the first two leave it; it never falls under 0."""
    moved = weights_along([9.0, 9.0, 1.5, 0.5, 0.0], alpha=3.0, epsilon=1.0, dual_step=4.0, dual_warmup_epochs=1)
    assert moved == [3.0, 3.0, 5.0, 3.0, 0.0]
    assert weights_along([2.0], alpha=3.0, epsilon=1.0, dual_step=4.0, dual_warmup_epochs=0) == [7.0]
    assert weights_along([2.0], alpha=3.0, epsilon=1.0, dual_step=0, dual_warmup_epochs=0) == [3.0]


@pytest.mark.parametrize("size", [None, 1])
def test_the_retain_loss_is_that_of_the_whole_batch(lm, size):
    """Both examples' tokens have losses log 4 and log 2 under the weight 3."""
    method, material = PDU(micro_batch=size), lm.material()
    material.state = Dual(3.0)
    terms = list(method.retain_terms(material, lm.batch(1, 2), 100.0))
    expected = sum(method.retain_values(material, lm.batch(1, 2)).tolist()) / 2
    assert material.state.loss == pytest.approx(expected)
    assert sum(terms).item() == pytest.approx(3 * expected)
