"""Dampening by hand."""

import pytest
import torch
from pydantic import ValidationError

from ungrok.methods.ssd import SSD, dampen


@pytest.mark.parametrize(
    ("theta", "forget", "data", "expected"),
    [(2.0, 10.0, 0.9, 2 * 0.9 * 0.5 / 10), (2.0, 8.0, 0.9, 2.0), (2.0, 0.0, 0.0, 2.0), (-1.0, 10.0, 0.0, 0.0)],
)
def test_dampening_by_hand(theta, forget, data, expected):
    """Selected where F_f > 9·F_D, then multiplied by λ·F_D/F_f with λ = 0.5."""
    weight = dampen(*(torch.tensor([v], dtype=torch.float64) for v in (theta, forget, data)), alpha=9.0, lam=0.5)
    assert weight.item() == pytest.approx(expected)


def test_dampening_never_grows_a_weight():
    assert dampen(torch.tensor([2.0]), torch.tensor([1.0]), torch.tensor([0.9]), alpha=1.0, lam=5.0).item() == 2.0


def test_a_lower_threshold_dampens_more():
    assert SSD(alpha=(10.0, 1.0, 5.0)).doses() == (0.1, 0.2, 1.0)


def test_thresholds_must_differ():
    with pytest.raises(ValidationError):
        SSD(alpha=(1.0, 1.0))
