"""Model factories: scale, seeds, shapes."""

from math import prod

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.models import MODELS
from ungrok.models.cnn import CNN
from ungrok.models.mlp import MLP
from ungrok.models.outside import Function
from ungrok.models.resnet import ResNet
from ungrok.models.vgg import VGG
from ungrok.models.vit import ViT

IMAGE = (2, 32, 32)
MODELS_OF = [
    MLP(width=7),
    MLP(depth=1),
    CNN(channels=(3, 4)),
    CNN(channels=(2, 3), stride=(1, 2), hidden=(5,)),
    ResNet(width=2),
    ResNet(width=3, norm="group", stem="imagenet", depth=34),
    ResNet(width=2, norm="none", preactivation=True),
    VGG(width=2, depth=11),
    VGG(width=2, depth=11, norm="none"),
    ViT(patch=8, dim=12, depth=2, hidden=16),
    Function(function=f"{__name__}:wide", options={"factor": 3}),
]


def wide(shape, outputs, factor):
    """Return a network, as a user's own function does."""
    inner = factor * outputs
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), inner), nn.LayerNorm(inner), nn.Linear(inner, outputs))


@pytest.mark.parametrize("model", MODELS_OF, ids=str)
def test_output_shape_dtype_and_mode(model):
    network = model.build(IMAGE, 5, 0)
    out = network(torch.randn(6, *IMAGE))
    assert out.shape == (6, 5)
    assert all(p.dtype == torch.float32 and p.requires_grad for p in network.parameters())
    assert network.training


@pytest.mark.parametrize("model", MODELS_OF, ids=str)
@pytest.mark.parametrize("scale", [8.0, 0.3])
def test_init_scale_multiplies_every_parameter_exactly(model, scale):
    plain = model.build(IMAGE, 5, 3)
    scaled = model.model_copy(update={"init_scale": scale}).build(IMAGE, 5, 3)
    for (name, one), (other, big) in zip(plain.named_parameters(), scaled.named_parameters(), strict=True):
        assert name == other
        assert torch.equal(one * scale, big)
        assert big.any() or one.ndim == 1


@pytest.mark.parametrize("model", MODELS_OF, ids=str)
def test_the_seed_alone_decides_the_weights(model):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = model.build(IMAGE, 5, 3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same, other = model.build(IMAGE, 5, 3).state_dict(), model.build(IMAGE, 5, 4).state_dict()
    for name, value in one.items():
        assert torch.equal(value, same[name])
        assert value.ndim < 2 or not torch.equal(value, other[name])


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


def test_cnn_layers():
    network = CNN(channels=(3, 4), stride=2, hidden=(5,)).build((1, 9, 9), 2, 0)
    shapes = [tuple(p.shape) for p in network.parameters() if p.ndim > 1]
    assert shapes == [(3, 1, 3, 3), (4, 3, 3, 3), (5, 4 * 3 * 3), (2, 5)]
    assert not any(isinstance(m, nn.BatchNorm2d | nn.Dropout) for m in network.modules())
    kinds = [type(m) for m in network]
    assert kinds[-1] is nn.Linear
    assert kinds.count(nn.ReLU) == 3


@pytest.mark.parametrize("model", [CNN(), ResNet(), VGG(), ViT()], ids=lambda model: model.kind)
def test_image_models_want_images(model):
    with pytest.raises(RecipeError, match=rf"'{model.kind}' takes images .*\(22,\)"):
        model.build((22,), 11, 0)


def test_a_cnn_of_five_convolutions_and_two_linear_layers():
    network = CNN(channels=(32, 32, 64, 64, 128), stride=(1, 2, 1, 2, 2), hidden=(256,)).build((3, 32, 32), 10, 0)
    kinds = [type(m) for m in network]
    assert (kinds.count(nn.Conv2d), kinds.count(nn.Linear)) == (5, 2)
    convolutions = 9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128) + 32 + 32 + 64 + 64 + 128
    assert sum(p.numel() for p in network.parameters()) == convolutions + 257 * 10 + (128 * 4 * 4 + 1) * 256 == 666_538


def test_strides_and_convolutions_must_agree():
    with pytest.raises(ValidationError, match="stride: 2 given for 3 convolutions"):
        CNN(channels=(3, 4, 5), stride=(1, 2))


@pytest.mark.parametrize("settings", [{"init_scale": 0}, {"width": 0}, {"depth": 0}, {"widht": 3}])
def test_settings_out_of_range(settings):
    with pytest.raises(ValidationError):
        MLP(**settings)


def test_registered():
    assert MODELS.names() == [
        "cnn", "function", "llama", "mlp", "pretrained", "resnet", "timm", "torchvision", "transformer", "vgg", "vit"
    ]  # fmt: skip


def test_batch_normalization_of_the_mlp_stands_before_every_relu_and_is_no_part_of_a_plain_one():
    plain, normed = MODELS.get("mlp")(depth=3), MODELS.get("mlp")(depth=3, norm="batch")
    names = [type(layer).__name__ for layer in normed.build((1, 8, 8), 10, 0)]
    assert names == ["Flatten", "Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert "norm" not in plain.spec()
    assert normed.spec()["norm"] == "batch"
