"""Which layers have closed forms, and what a tape records."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune

from ungrok.core.closed_forms import CLOSED_FORMS, Tape, closed_form_layers, plain


def test_a_tape_holds_every_call_and_is_not_changed_by_what_follows():
    twice, last = nn.Linear(3, 3), nn.Linear(3, 2)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with Tape({"twice": twice, "last": last}) as tape:
        middle = twice(x).relu_()
        out = last(twice(middle))
    first = x @ twice.weight.T + twice.bias
    assert [len(calls) for calls in tape.calls.values()] == [2, 1]
    torch.testing.assert_close(tape.calls["twice"][0][1], first)  # relu_ has worked on a copy
    torch.testing.assert_close(tape.calls["twice"][1][0], first.relu())
    torch.testing.assert_close(tape.calls["last"][0][1], out)
    assert (first < 0).any()
    last(twice(x))
    assert len(tape.calls["last"]) == 1


def test_a_layer_may_be_called_by_name():
    layer, x = nn.Linear(3, 2), torch.ones(4, 3)
    with Tape({"layer": layer}) as tape:
        out = layer(input=x)
    ((inputs, outputs),) = tape.calls["layer"]
    assert torch.equal(inputs, x)
    assert torch.equal(outputs, out)


def changed(change):
    layer = nn.Linear(4, 4)
    change(layer)
    return layer


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda layer: None, True),
        (lambda layer: prune.l1_unstructured(layer, "weight", 0.5), False),
        (lambda layer: prune.l1_unstructured(layer, "bias", 0.5), False),
        (parametrizations.weight_norm, False),
        (lambda layer: layer.register_parameter("scale", nn.Parameter(torch.ones(1))), False),
        (lambda layer: layer.register_forward_hook(lambda *args: 2 * args[2]), False),
        (lambda layer: layer.register_forward_pre_hook(lambda *args: 2 * args[1][0]), False),
        (lambda layer: layer.register_full_backward_hook(lambda *args: None), False),
        (lambda layer: setattr(layer, "forward", lambda x: x), False),
    ],
    ids=["plain", "weight", "bias", "norm", "more", "hook", "pre-hook", "backward hook", "forward"],
)
def test_a_plain_layer_owns_weight_and_bias_and_computes_what_its_type_says(change, expected):
    layer = changed(change)
    known = type(layer) in CLOSED_FORMS and plain(layer)
    assert known == expected
    assert bool(closed_form_layers(nn.Sequential(nn.ReLU(), layer))) == expected


class Two(nn.Module):
    """Two layers of one shape, and a way to use them."""

    def __init__(self, use):
        super().__init__()
        self.a, self.b, self.use = nn.Linear(3, 3), nn.Linear(3, 3), use

    def forward(self, x):
        return self.use(self, x)


def crossed(model, x):
    """Both halves of an example go to one layer: as many rows as examples, two of each."""
    first, second = model.a(x[::2].repeat(2, 1)), model.b(x[1::2].repeat(2, 1))
    return torch.stack([first[: len(x) // 2], second[: len(x) // 2]], dim=1).flatten(0, 1)


USES = {
    "one after another": (lambda m, x: m.b(m.a(x).tanh()), {"a", "b"}),
    "one twice": (lambda m, x: m.b(m.a(m.a(x))), {"b"}),
    "outside its layer": (lambda m, x: m.b(F.linear(m.a(x), m.a.weight)), {"b"}),
    "outside, before another": (lambda m, x: m.a(x) + m.b(F.linear(x, m.a.weight)), {"b"}),
    "without a gradient": (lambda m, x: m.b(x) + m.a(x).detach(), {"a", "b"}),
    "examples mixed": (lambda m, x: (h := m.a(x)) - h.mean(0) + m.b(x), {"b"}),
    "another order": (lambda m, x: m.a(x.flip(0)).flip(0) + m.b(x), {"b"}),
    "two rows of one example": (crossed, set()),
}


@pytest.mark.parametrize("use", USES)
def test_a_row_is_its_own_only_where_its_example_alone_depends_on_it(use):
    function, expected = USES[use]
    torch.manual_seed(0)
    model, x = Two(function), torch.randn(4, 3)
    with Tape({"a": model.a, "b": model.b}) as tape:
        outcome = model(x).square().sum(1)
    assert set(tape.own_rows(outcome)) == expected


def test_a_layer_is_idle_where_nothing_depends_on_it():
    model, x = Two(lambda m, x: F.linear(x, m.b.weight)), torch.randn(4, 3)
    with Tape({"a": model.a, "b": model.b}) as tape:
        outcome = model(x).sum(1)
    assert tape.idle("a", outcome)
    assert not tape.idle("b", outcome)
