"""Residual networks: parameter counts of the literature, and the forward pass written out."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ungrok.models.resnet import ResNet

SMALL, LARGE = (3, 32, 32), (3, 224, 224)


@pytest.mark.parametrize(
    ("model", "shape", "classes", "count"),
    [
        (ResNet(), SMALL, 10, 11_173_962),  # github.com/kuangliu/pytorch-cifar, ResNet18
        (ResNet(), SMALL, 100, 11_220_132),
        (ResNet(depth=34), SMALL, 10, 21_282_122),
        (ResNet(preactivation=True), SMALL, 10, 11_171_146),  # the same, PreActResNet18
        (ResNet(stem="imagenet"), LARGE, 1000, 11_689_512),  # torchvision, resnet18
        (ResNet(stem="imagenet", depth=34), LARGE, 1000, 21_797_672),  # torchvision, resnet34
    ],
    ids=str,
)
def test_parameter_counts_of_the_literature(model, shape, classes, count):
    assert sum(p.numel() for p in model.build(shape, classes, 0).parameters()) == count


def test_parameters_without_normalization_are_convolutions_and_one_linear_layer():
    network = ResNet(width=16, norm="none", preactivation=True).build(SMALL, 10, 0)
    stages = [16, 32, 64, 128]
    convolutions = 3 * 9 * 16 + 4 * 9 * 16 * 16  # stem and first stage
    for before, after in pairwise(stages):
        convolutions += 9 * before * after + 3 * 9 * after * after + before * after
    assert sum(p.numel() for p in network.parameters()) == convolutions + 128 * 10 + 10
    assert [name for name, p in network.named_parameters() if p.ndim == 1] == [f"{len(network) - 1}.bias"]


@pytest.mark.parametrize("preactivation", [False, True])
@pytest.mark.parametrize(("norm", "kinds"), [("none", ()), ("group", (nn.GroupNorm,)), ("batch", (nn.BatchNorm2d,))])
def test_normalization_is_the_one_asked_for_and_no_other(norm, kinds, preactivation):
    network = ResNet(width=6, norm=norm, preactivation=preactivation).build(SMALL, 10, 0)
    found = [m for m in network.modules() if isinstance(m, _BatchNorm | nn.GroupNorm | nn.LayerNorm)]
    assert {type(m) for m in found} == set(kinds)
    assert all(isinstance(m.num_channels, int) and m.num_channels % m.num_groups == 0 for m in found if norm == "group")
    assert (sum(1 for _ in network.buffers()) > 0) == (norm == "batch")


def test_the_stem_decides_the_size_of_the_first_stage():
    for stem, side in (("cifar", 32), ("imagenet", 8)):
        network, seen = ResNet(width=2, stem=stem).build(SMALL, 10, 0), []
        next(m for m in network if hasattr(m, "residual")).register_forward_hook(
            lambda *a, seen=seen: seen.append(a[2])
        )
        network(torch.zeros(2, *SMALL))
        assert seen[0].shape == (2, 2, side, side)


def written_out(network, x, width, preactivation):
    """Run the forward pass of an 18-layer network with batch normalization in eval mode, parameter by parameter."""
    convs = iter([m.weight for m in network.modules() if isinstance(m, nn.Conv2d)])
    norms = iter([m for m in network.modules() if isinstance(m, nn.BatchNorm2d)])

    def norm(x):
        m = next(norms)
        scale = m.weight / (m.running_var + m.eps).sqrt()
        return x * scale.view(-1, 1, 1) + (m.bias - m.running_mean * scale).view(-1, 1, 1)

    x = F.conv2d(x, next(convs), padding=1)
    if not preactivation:
        x = norm(x).relu()
    channels = width
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage and not block else 1
            if preactivation:
                ready = norm(x).relu()
                out = F.conv2d(
                    norm(F.conv2d(ready, next(convs), padding=1, stride=stride)).relu(), next(convs), padding=1
                )
                x = out + (x if stride == 1 else F.conv2d(ready, next(convs), stride=2))
            else:
                out = norm(F.conv2d(x, next(convs), padding=1, stride=stride)).relu()
                out = norm(F.conv2d(out, next(convs), padding=1))
                x = (out + (x if stride == 1 else norm(F.conv2d(x, next(convs), stride=2)))).relu()
        assert x.shape[1] == channels
        channels *= 2
    assert next(convs, None) is None
    assert next(norms, None) is None
    return x.mean(dim=(2, 3)) @ network[-1].weight.T + network[-1].bias


@pytest.mark.parametrize("preactivation", [False, True])
def test_forward_pass(preactivation):
    network = ResNet(width=4, preactivation=preactivation).build(SMALL, 10, 0).double()
    network(torch.randn(16, *SMALL, dtype=torch.float64))  # running statistics that are not 0 and 1
    network.eval()
    x = torch.randn(5, *SMALL, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(network(x), written_out(network, x, 4, preactivation), rtol=1e-10)
