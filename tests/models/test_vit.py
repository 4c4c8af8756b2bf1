"""Vision transformer: parameter counts of the literature, PyTorch's own encoder, derivatives that methods need."""

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.gradients import diagonal_fisher
from ungrok.core.objective import Classification
from ungrok.models.vit import ViT

TINY = ViT(patch=4, dim=6, depth=2, heads=2, hidden=8)


@pytest.mark.parametrize(
    ("dim", "heads", "count"), [(192, 3, 5_717_416), (384, 6, 22_050_664)], ids=["ViT-Ti/16", "ViT-S/16"]
)
def test_parameter_counts_of_the_literature(dim, heads, count):
    """As timm has them for 224x224 pixels and 1,000 classes."""
    model = ViT(patch=16, dim=dim, depth=12, heads=heads, hidden=4 * dim)
    assert sum(p.numel() for p in model.build((3, 224, 224), 1000, 0).parameters()) == count


def test_layers_equal_those_of_pytorch():
    network = TINY.build((3, 8, 12), 5, 0).double()
    tokens, *layers, norm, _, linear = network
    theirs = nn.TransformerEncoderLayer(
        6, 2, 8, dropout=0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    x = torch.randn(3, 3, 8, 12, dtype=torch.float64)
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(3, 6, -1)
    flat = tokens.patches.weight.flatten(1)
    state = (
        torch.cat([tokens.first.expand(3, -1, -1), patches @ flat.T + tokens.patches.bias], dim=1) + tokens.positions
    )
    for layer in layers:
        names = ["norm1", "self_attn.in_proj_", "self_attn.out_proj", "norm2", "linear1", "linear2"]
        own = [
            layer.attend[0],
            layer.attend[1].queries_keys_values,
            layer.attend[1].project,
            *layer.think[:2],
            layer.think[3],
        ]
        named = {}
        for name, module in zip(names, own, strict=True):
            dot = "" if name.endswith("_") else "."
            named |= {f"{name}{dot}weight": module.weight, f"{name}{dot}bias": module.bias}
        theirs.load_state_dict(named)
        state = theirs(state)
    assert torch.allclose(network(x), linear(norm(state)[:, 0]), rtol=1e-10)


def test_per_example_jacobians():
    """The diagonal Fisher information by vmap against one backward pass per example and class."""
    network = TINY.build((1, 8, 8), 3, 0).double().eval()
    x, y = torch.randn(4, 1, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    found, _ = diagonal_fisher(network, iter([(x, y)]), Classification())
    expected = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    for example in x:
        log_p = network(example[None]).log_softmax(1)[0]
        for c in range(3):
            gradients = torch.autograd.grad(log_p[c], list(network.parameters()), retain_graph=True)
            for name, gradient in zip(expected, gradients, strict=True):
                expected[name] += log_p[c].exp().detach() * gradient.square() / 4
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-8, atol=1e-12), name


def test_second_derivatives():
    network = ViT(patch=4, dim=4, depth=1, heads=2, hidden=4).build((1, 4, 4), 2, 0).double()
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: network(x), (x,))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"patch": 5}, "model.patch: 5 does not divide 32x32"), ({"heads": 7}, "model.heads: 7 does not divide dim, 192")],
)
def test_what_does_not_divide(settings, message):
    with pytest.raises(RecipeError, match=message):
        ViT(**settings).build((3, 32, 32), 10, 0)
