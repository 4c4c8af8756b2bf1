"""Which layers have closed forms, and what a tape records."""

import torch
from torch import nn

from ungrok.core.closed_forms import Tape


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
