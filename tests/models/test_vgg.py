"""VGG: parameter counts of the literature."""

import pytest
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.models.vgg import VGG

CIFAR = (3, 32, 32)


@pytest.mark.parametrize(("depth", "count"), [(11, 9_231_114), (13, 9_416_010), (16, 14_728_266), (19, 20_040_522)])
def test_parameter_counts_of_the_literature(depth, count):
    """As github.com/kuangliu/pytorch-cifar has them for CIFAR-10."""
    network = VGG(depth=depth).build(CIFAR, 10, 0)
    assert sum(p.numel() for p in network.parameters()) == count
    layers = [m for m in network if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth - 2  # one linear layer in place of three


def test_without_normalization_only_layers_are_left():
    network = VGG(depth=11, width=4, norm="none").build(CIFAR, 10, 0)
    kinds = {type(m) for m in network}
    assert kinds == {nn.Conv2d, nn.Identity, nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear}


def test_images_too_small_to_be_halved_five_times():
    with pytest.raises(RecipeError, match="28x28 is less than 32x32"):
        VGG().build((1, 28, 28), 10, 0)
