"""Whether unlearning has moved a model at all."""

import copy

import pytest
import torch
from torch import nn

from ungrok.core.objective import Classification
from ungrok.methods.change import MEASURABLE, Change

FORGET = [(torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1])), (torch.tensor([[2.0]]), torch.tensor([1]))]


def network(scale):
    """Two logits, ±scale·x, so that the first two examples are right and the last is wrong."""
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[scale], [-scale]]))
    return model


@pytest.fixture
def change():
    return Change(network(1.0), FORGET, Classification(), 0)


def test_the_largest_change_of_a_weight(change):
    after = network(1.0)
    with torch.no_grad():
        after.weight[1] += 0.25
    assert change.largest(after) == 0.25


@pytest.mark.parametrize("scale", [1.0, 1.001])
def test_a_small_change_is_told(change, scale):
    said = change.too_small(network(scale))
    largest = "no weight at all" if scale == 1 else "no weight by more than 1.0e-03"
    assert said == f"it changed no prediction on the forget set (accuracy 0.667 before and after) and {largest}"


@pytest.mark.parametrize("scale", [-1.0, 1.1, float("nan")])
def test_another_prediction_or_loss_is_a_change(change, scale):
    assert change.too_small(network(scale)) is None


def test_losses_that_move_against_each_other_are_a_change(change):
    """The mean loss stays, that of no example does."""
    before, after = torch.tensor([[2.0], [-2.0]]), torch.tensor([[2.0], [-2.0]])
    forget = [(before, torch.tensor([0, 0])), (after, torch.tensor([1, 1]))]
    change = Change(network(1.0), forget, Classification(), 0)
    assert change.too_small(network(1.0 + 2 * MEASURABLE)) is None


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel])
def test_a_weight_that_is_no_longer_finite_is_named(change, wrap):
    assert change.broken(wrap(network(2.0))) is None
    assert change.broken(wrap(network(float("inf")))).startswith("weight holds NaN or infinity; ")
    assert Change(network(float("nan")), FORGET, Classification(), 0).broken(network(float("nan"))) is None


def test_modes_and_random_state_stay(change):
    model = copy.deepcopy(change.original).train()
    state = torch.get_rng_state()
    assert change.too_small(model) is not None
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
