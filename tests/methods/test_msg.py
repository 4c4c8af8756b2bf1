"""MSG: which weights start fresh, how much slower the others learn, and at which rates."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ungrok.core.errors import NotApplicable
from ungrok.methods.finetune import Finetune
from ungrok.methods.msg import MSG, Gates, smallest
from ungrok.methods.scheduled import Epochs

STILL = {"lr": 1e-100, "updates": 1, "layers": "all"}


def test_the_smallest_share_is_counted_and_of_equal_ones_the_first_is_taken():
    values = torch.tensor([[0.0, -3.0, 0.0], [2.0, 0.0, -1.0]])
    assert smallest(values, 0.34).tolist() == [[True, False, True], [False, False, False]]
    assert smallest(values, 4 / 6).tolist() == [[True, False, True], [False, True, True]]
    assert not smallest(values, 0.0).any()
    assert smallest(values, 1.0).all()


def contrast(linear):
    """Both forget batches beside the first two retain batches."""
    linear.forget = [*linear.forget, *linear.validation]
    retain, forget = (
        sum(linear.gradient(linear.weight, b) for b in part) for part in (linear.retain[:2], linear.forget)
    )
    return retain - forget


def test_weights_start_fresh_where_forget_and_retain_gradients_differ_least(linear):
    g = contrast(linear)
    linear.retain = [*linear.retain, linear.retain[0]]
    (weights,) = linear.walk(MSG(share=0.5, **STILL)).weights
    fresh = torch.zeros(6, dtype=torch.bool)
    fresh[g.abs().flatten().sort().indices[:3]] = True
    assert torch.equal((weights != linear.weight).flatten(), fresh)


def test_fresh_weights_have_the_variance_of_kaiming_by_outputs(small):
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(4, 5000), nn.ReLU(), nn.Linear(5000, 3))
    first = next(small.path("msg", wide, share=1.0, **STILL | {"lr": 1e-30})).model
    for layer, outputs in ((first[0], 5000), (first[2], 3)):
        assert layer.weight.var().item() == pytest.approx(2 / outputs, rel=0.05)
        assert abs(layer.weight.mean()) < 4 * (2 / outputs / layer.weight.numel()) ** 0.5
    assert torch.equal(first[2].bias, wide[2].bias)


def test_the_others_learn_slowly(linear, close):
    """All gradients times ``slow``, the fresh weights' times 1."""
    (start,) = linear.walk(MSG(share=0.5, **STILL)).weights
    (moved,) = linear.walk(MSG(share=0.5, slow=0.25, layers="all", lr=0.3, updates=1, weight_decay=0)).weights
    factor = 0.25 + 0.75 * (start != linear.weight).double()
    close(moved, start - 0.3 * factor * linear.gradient(start, linear.retain[0]))


def test_nothing_fresh_and_nothing_slow_is_fine_tuning_bit_for_bit(linear):
    ends = [
        linear.walk(m).weights
        for m in (MSG(share=0, slow=1, layers="all", lr=0.3, epochs=1), Finetune(lr=0.3, epochs=1))
    ]
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.parametrize(
    ("epochs", "shares"),
    [(1, [1]), (2, [1, 1 / 2]), (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]), (6, [1 / 3, 2 / 3, 1, 3 / 4, 1 / 2, 1 / 4])],
)
def test_the_rate_rises_and_falls(epochs, shares):
    material = SimpleNamespace(state=Gates([], Epochs(updates=2, total=epochs)))
    rates = [MSG(lr=0.2).rate(material, update) for update in range(1, 2 * epochs + 1)]
    assert rates == pytest.approx([0.2 * share for share in shares for _ in range(2)])


def test_only_convolutions_unless_it_is_told_otherwise(small):
    draw = torch.Generator().manual_seed(0)
    images = [(torch.randn(6, 1, 3, 3, generator=draw), torch.arange(6) % 3)]
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(8, 3))
    for layers, moved in (("convolutions", {"0.weight"}), ("all", {"0.weight", "2.weight"})):
        settings = STILL | {"lr": 1e-30, "layers": layers}
        first = next(small.path("msg", model, images, [(-x, y) for x, y in images], **settings)).model
        assert {n for n, p in model.named_parameters() if not torch.equal(p, first.get_parameter(n))} == moved
    with pytest.raises(
        NotApplicable, match='msg: the model has no convolution; with layers="all" it takes linear layers, too'
    ):
        small.path("msg")
