"""The first update of every optimizer, by hand."""

from __future__ import annotations

import pytest
import torch

from ungrok.core.optimizers import TORCH_OPTIMIZERS


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("sgd", 2.0 - 0.1 * (3.0 + 0.5 * 2.0)),  # lr (g + wd w)
        ("adam", 2.0 - 0.1),  # lr sign(g + wd w)
        ("adamw", 2.0 * (1 - 0.1 * 0.5) - 0.1),  # lr wd w beside lr sign(g)
    ],
)
def test_the_first_update(name, after):
    weight = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    weight.grad = torch.tensor([3.0], dtype=torch.float64)
    TORCH_OPTIMIZERS[name]([weight], 0.1, 0.9, 0.5).step()
    assert weight.item() == pytest.approx(after, abs=1e-7)


def test_only_sgd_has_momentum():
    assert TORCH_OPTIMIZERS["sgd"]([torch.nn.Parameter(torch.zeros(1))], 0.1, 0.9, 0.0).defaults["momentum"] == 0.9
    assert set(TORCH_OPTIMIZERS) == {"sgd", "adam", "adamw"}
