"""SalUn: the mask, and what it holds in place."""

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.methods.salun import SalUn, restore, saliency_mask


@pytest.mark.parametrize("k", [0.1, 0.5, 1.0])
def test_the_mask_holds_the_top_share_of_all_weights(k):
    draw = torch.Generator().manual_seed(0)
    gradients = {"a": torch.randn(40, generator=draw), "b": 0.1 * torch.randn(6, 10, generator=draw)}
    mask = saliency_mask(gradients, k)
    inside = torch.cat([g.abs()[mask[n]].flatten() for n, g in gradients.items()])
    outside = torch.cat([g.abs()[~mask[n]].flatten() for n, g in gradients.items()])
    assert len(inside) == round(100 * k)
    assert not len(outside) or inside.min() > outside.max()


def test_masked_weights_do_not_move_at_all(small):
    """Neither through weight decay nor through momentum; the others do."""
    start = small.network()
    for inputs, targets in small.batches(seed=1):
        nn.functional.cross_entropy(start(inputs), targets).backward()
    mask = saliency_mask({n: p.grad.clone() for n, p in start.named_parameters()}, 0.3)
    start.zero_grad(set_to_none=True)
    for settings in ({"weight_decay": 0.5}, {"optimizer": "adam", "weight_decay": 0.5}, {"optimizer": "adamw"}):
        end = small.last("salun", start, k=0.3, lr=0.05, epochs=3, **settings)
        for name, parameter in end.named_parameters():
            moved = parameter != start.get_parameter(name)
            assert not moved[~mask[name]].any()
            assert moved[mask[name]].any() == mask[name].any()


def test_weights_and_momentum_are_put_back():
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[5.0, 7.0]])
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    optimizer.state[model.weight]["momentum_buffer"] = torch.tensor([[3.0, 4.0]])
    restore(model, optimizer, {"weight": (torch.tensor([[True, False]]), torch.tensor([[1.0, 2.0]]))})
    assert model.weight.tolist() == [[5.0, 2.0]]
    assert optimizer.state[model.weight]["momentum_buffer"].tolist() == [[3.0, 0.0]]


@pytest.mark.parametrize("k", [0, 1.5])
def test_shares_out_of_range(k):
    with pytest.raises(RecipeError):
        SalUn(k=k)


def test_at_least_one_weight_may_move():
    mask = saliency_mask({"a": torch.tensor([1.0, -3.0, 2.0])}, 1e-6)
    assert mask["a"].tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_masks_of_any_precision(dtype):
    """In float64 two gradients that float32 cannot tell apart are ranked."""
    small = 1 + 2.0**-40 if dtype == torch.float64 else 1.5
    mask = saliency_mask({"a": torch.tensor([1.0, small, -0.5, 0.25], dtype=dtype)}, 0.25)
    assert mask["a"].tolist() == [False, True, False, False]
