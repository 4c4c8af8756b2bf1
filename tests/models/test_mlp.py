"""Multi-layer perceptrons: layers, biases, settings."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from ungrok.models import MODELS
from ungrok.models.mlp import MLP

IMAGE = (2, 32, 32)


def test_initial_weights_are_those_of_pytorch():
    torch.manual_seed(3)
    expected = [nn.Linear(4, 6), nn.Linear(6, 2)]
    network = MLP(width=6, depth=2).build((4,), 2, 3)
    for mine, theirs in zip((m for m in network if isinstance(m, nn.Linear)), expected, strict=True):
        assert torch.equal(mine.weight, theirs.weight)
        assert torch.equal(mine.bias, theirs.bias)


@pytest.mark.parametrize(("bias", "names"), [(True, {"weight", "bias"}), (False, {"weight"})])
def test_bias(bias, names):
    network = MLP(width=4, bias=bias).build(IMAGE, 3, 0)
    assert {name.split(".")[-1] for name, _ in network.named_parameters()} == names
    # Without biases a ReLU network is homogeneous.
    x = torch.randn(5, *IMAGE)
    assert torch.allclose(network(2 * x), 2 * network(x), atol=1e-6) is not bias


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_mlp_depth_and_width(depth):
    layers = [m for m in MLP(width=6, depth=depth).build((3,), 2, 0) if isinstance(m, nn.Linear)]
    assert [layer.in_features for layer in layers] == [3, *[6] * (depth - 1)]
    assert [layer.out_features for layer in layers] == [*[6] * (depth - 1), 2]


@pytest.mark.parametrize("settings", [{"init_scale": 0}, {"width": 0}, {"depth": 0}, {"widht": 3}])
def test_settings_out_of_range(settings):
    with pytest.raises(ValidationError):
        MLP(**settings)


def test_batch_normalization_of_the_mlp_stands_before_every_relu_and_is_no_part_of_a_plain_one():
    plain, normed = MODELS.get("mlp")(depth=3), MODELS.get("mlp")(depth=3, norm="batch")
    names = [type(layer).__name__ for layer in normed.build((1, 8, 8), 10, 0)]
    assert names == ["Flatten", "Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert "norm" not in plain.spec()
    assert normed.spec()["norm"] == "batch"
