"""Rounding to a symmetric grid, its fixed points, and updates that it undoes."""

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch import nn

from ungrok.audits import Setting
from ungrok.audits.quantize import Quantize, rounded
from ungrok.core.modules import duplicate

from .conftest import network


def test_by_hand():
    """Three bits are the grid −3 … 3, of which 3 is the channel's largest weight."""
    weight = torch.tensor([[3.0, -0.6, 1.4, 0.4], [0.25, -0.75, 0.3, 0.0], [0.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[3.0, -1.0, 1.0, 0.0], [0.25, -0.75, 0.25, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.equal(rounded(weight, 3), expected)
    assert torch.equal(rounded(weight.T, 3, axis=1), expected.T)


def test_two_bits_leave_one_size_for_each_channel():
    weight = torch.tensor([[0.9, -0.4, 0.46, -1.0]])
    assert torch.equal(rounded(weight, 2), torch.tensor([[1.0, 0.0, 0.0, -1.0]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_weights_on_the_grid_are_unchanged_bit_for_bit(bits, dtype):
    weight = torch.randn(9, 4, 3, generator=torch.Generator().manual_seed(bits)).to(dtype)
    once = rounded(weight, bits)
    assert not torch.equal(once, weight)
    assert once.dtype == dtype
    assert torch.equal(rounded(once, bits), once)
    assert all(len(channel.abs().unique()) <= 2 ** (bits - 1) for channel in once)


@settings(max_examples=50)
@drawn(st.integers(0, 10_000), st.sampled_from([2, 3, 4, 8]))
def test_no_weight_moves_by_more_than_half_a_step_nor_changes_its_sign(seed, bits):
    weight = torch.randn(3, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    near = rounded(weight, bits)
    step = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    assert ((near - weight).abs() <= step / 2 * (1 + 1e-12)).all()
    assert (near * weight >= 0).all()


def test_an_update_that_crosses_no_boundary_is_undone_bit_for_bit(given):
    """What unlearning has changed by less than half a step comes back as the quantized original."""
    original = network()
    with torch.no_grad():
        for layer in (original[0], original[2]):
            grid = torch.randint(-6, 7, layer.weight.shape, generator=torch.Generator().manual_seed(0))
            grid[:, 0] = 7
            layer.weight.copy_(grid / 8)  # four bits: steps of 1/8
    unlearned = duplicate(original)
    with torch.no_grad():
        for layer in (unlearned[0], unlearned[2]):
            layer.weight[:, 1:] += 0.0624 * (2 * torch.rand_like(layer.weight[:, 1:]) - 1)
    assert not torch.equal(unlearned[0].weight, original[0].weight)
    paths = [Quantize(bits=4).path(model, given, Setting()) for model in (unlearned, original)]
    assert [next(path).dose for path in paths] == [32, 32]
    ours, theirs = (next(path).model.state_dict() for path in paths)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with torch.no_grad():
        unlearned[0].weight[0, 1] += 0.125
    _, crossed = (step.model for step in Quantize(bits=4).path(unlearned, given, Setting()))
    assert not torch.equal(crossed[0].weight, theirs["0.weight"])


def test_biases_and_normalization_are_left_alone(given):
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    doses = []
    for step in Quantize(bits=(2, 8)).path(model, given, Setting()):
        doses.append(step.dose)
        for name in ("0.bias", "1.weight", "1.running_var", "2.bias"):
            assert torch.equal(step.model.state_dict()[name], model.state_dict()[name])
    assert doses == [32, 8, 2]
    assert torch.equal(step.model[2].weight, rounded(model[2].weight, 2))


def test_channels_of_transposed_weights(given):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose1d(2, 3, 1)

    _, step = Quantize(bits=3).path(Both(), given, Setting())
    largest = step.model.up.weight.abs().amax((0, 2))
    assert torch.equal(rounded(step.model.up.weight, 3, axis=1), step.model.up.weight)
    assert len(largest.unique()) == 3
