"""Rescaling changes the norm of the weights and not the function; where it would change the function it says so."""

import copy

import pytest
import torch
from torch import nn

from ungrok.core.errors import NotApplicable
from ungrok.models import MODELS
from ungrok.models.rescale import change, check_equal, rescale

NETWORKS = {
    "mlp": ({"depth": 3, "width": 20}, (1, 8, 8)),
    "cnn": ({"channels": [4, 8], "hidden": [16]}, (1, 8, 8)),
    "resnet": ({"width": 4, "norm": "none", "preactivation": True}, (3, 16, 16)),
}


def network(kind, **more):
    settings, shape = NETWORKS[kind]
    return MODELS.get(kind).model_validate(settings | more).build(shape, 10, 0).eval(), torch.randn(6, *shape)


def both(model, x, factor):
    other = copy.deepcopy(model)
    rescale(other, factor)
    with torch.no_grad():
        return model(x), other(x), other


@pytest.mark.parametrize("kind", ["mlp", "cnn", "resnet"])
@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_powers_of_two_change_no_bit(kind, factor):
    model, x = network(kind)
    before, after, other = both(model, x, factor)
    assert torch.equal(before, after)
    first, last = (layers[0] for layers in (named(other), named(other)[::-1]))
    torch.testing.assert_close(first.weight, named(model)[0].weight * factor)
    torch.testing.assert_close(last.weight, named(model)[-1].weight / factor)


def named(model):
    return [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def test_any_factor_changes_nothing_that_counts():
    model, x = network("mlp")
    before, after, _ = both(model, x, 3.7)
    assert check_equal(before, after) < 1e-5


def test_a_network_with_normalization_is_refused():
    """Fresh batch normalization is the identity in eval mode, so that comparing logits would not show it."""
    model, _ = network("resnet", norm="batch")
    with pytest.raises(NotApplicable, match=r"without normalization; .* normalizes"):
        rescale(model, 4.0)


def test_an_activation_that_is_not_homogeneous_is_seen():
    model = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 2))
    before, after, _ = both(model, torch.randn(5, 3), 4.0)
    with pytest.raises(NotApplicable, match="takes networks of ReLU"):
        check_equal(before, after)


def test_one_layer_has_nothing_to_be_scaled_against():
    with pytest.raises(NotApplicable, match="two"):
        rescale(nn.Linear(3, 2), 2.0)


def test_change_is_relative_to_the_largest_logit_and_nan_is_no_equality():
    assert change(torch.tensor([[4.0, -8.0]]), torch.tensor([[4.0, -6.0]])) == 0.25
    with pytest.raises(NotApplicable, match="nan"):
        check_equal(torch.ones(1, 2), torch.full((1, 2), float("nan")))
