"""Methods that move all weights before they fine-tune: without the move they are fine-tuning, and the move is made once."""

import pytest
import torch

from ungrok.methods import UNLEARNERS
from ungrok.methods.displaced import Displaced

NOTHING = {"weight_attenuation": {"share": 0.0}, "weight_dropout": {"share": 0.0}, "weight_distortion": {"sigma": 0.0}}
SETTINGS = {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1, "epochs": 2}


def test_the_table_holds_every_method_of_this_kind():
    assert {n for n in UNLEARNERS.names() if issubclass(UNLEARNERS.get(n), Displaced)} == set(NOTHING)


@pytest.mark.parametrize("kind", NOTHING)
def test_not_moving_the_weights_is_fine_tuning_bit_for_bit(small, kind):
    paths = [list(small.path(k, **SETTINGS | more)) for k, more in (("finetune", {}), (kind, NOTHING[kind]))]
    ends = [path[-1].model.state_dict() for path in paths]
    assert len(paths[0]) == len(paths[1]) == 2
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize("kind", NOTHING)
def test_the_weights_are_moved_once(linear, close, kind):
    """After it, updates are those of gradient descent from where the weights were moved to."""
    still, own = ({"optimizer": "sgd", "momentum": 0, "epochs": 2, "lr": lr} for lr in (1e-100, 0.3))
    start = linear.walk(UNLEARNERS.get(kind)(**still), seed=3).weights
    assert len(start) == 4
    for w in start:
        close(w, start[0])
    w = start[0]
    assert not torch.equal(w, linear.weight)
    for weights, batch in zip(linear.walk(UNLEARNERS.get(kind)(**own), seed=3).weights, linear.retain * 2, strict=True):
        w = w - 0.3 * linear.gradient(w, batch)
        close(weights, w)


@pytest.mark.parametrize("kind", NOTHING)
def test_biases_are_moved_and_frozen_parameters_are_not(small, kind):
    start = small.network()
    start[0].weight.requires_grad_(requires_grad=False)
    first = next(small.path(kind, start, optimizer="sgd", lr=1e-50, **dict.fromkeys(NOTHING[kind], 0.9))).model
    assert torch.equal(first[0].weight, start[0].weight)
    for name in ("0.bias", "2.weight", "2.bias"):
        assert not torch.equal(first.get_parameter(name), start.get_parameter(name))
