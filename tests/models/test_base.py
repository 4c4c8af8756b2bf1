"""What every model factory promises: shapes, scale, seeds."""

from math import prod

import pytest
import torch
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


@pytest.mark.parametrize("model", [CNN(), ResNet(), VGG(), ViT()], ids=lambda model: model.kind)
def test_image_models_want_images(model):
    with pytest.raises(RecipeError, match=rf"'{model.kind}' takes images .*\(22,\)"):
        model.build((22,), 11, 0)


def test_registered():
    assert MODELS.names() == [
        "cnn", "function", "given", "llama", "mlp", "pretrained", "resnet", "timm", "torchvision", "transformer", "vgg", "vit"
    ]  # fmt: skip
