"""Convolutional networks: layers, strides, sizes."""

import pytest
from pydantic import ValidationError
from torch import nn

from ungrok.models.cnn import CNN


def test_cnn_layers():
    network = CNN(channels=(3, 4), stride=2, hidden=(5,)).build((1, 9, 9), 2, 0)
    shapes = [tuple(p.shape) for p in network.parameters() if p.ndim > 1]
    assert shapes == [(3, 1, 3, 3), (4, 3, 3, 3), (5, 4 * 3 * 3), (2, 5)]
    assert not any(isinstance(m, nn.BatchNorm2d | nn.Dropout) for m in network.modules())
    kinds = [type(m) for m in network]
    assert kinds[-1] is nn.Linear
    assert kinds.count(nn.ReLU) == 3


def test_a_cnn_of_five_convolutions_and_two_linear_layers():
    network = CNN(channels=(32, 32, 64, 64, 128), stride=(1, 2, 1, 2, 2), hidden=(256,)).build((3, 32, 32), 10, 0)
    kinds = [type(m) for m in network]
    assert (kinds.count(nn.Conv2d), kinds.count(nn.Linear)) == (5, 2)
    convolutions = 9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128) + 32 + 32 + 64 + 64 + 128
    assert sum(p.numel() for p in network.parameters()) == convolutions + 257 * 10 + (128 * 4 * 4 + 1) * 256 == 666_538


def test_strides_and_convolutions_must_agree():
    with pytest.raises(ValidationError, match="stride: 2 given for 3 convolutions"):
        CNN(channels=(3, 4, 5), stride=(1, 2))
