"""Scaling against its formula."""

import pytest
import torch

from ungrok.data.pixels import Scale

PIXELS = torch.arange(256, dtype=torch.uint8).reshape(8, 2, 4, 4)


def test_the_unit_range_is_an_exact_division():
    found = Scale()(PIXELS)
    assert found.dtype == torch.float32
    assert torch.equal(found, PIXELS.float() / 255)
    assert PIXELS.dtype == torch.uint8


def test_each_channel_is_standardized_by_its_own_mean_and_deviation():
    scale = Scale((0.2, 0.5), (0.1, 0.25))
    expected = (PIXELS.double() / 255 - torch.tensor([0.2, 0.5]).view(2, 1, 1)) / torch.tensor([0.1, 0.25]).view(
        2, 1, 1
    )
    assert scale(PIXELS).double() == pytest.approx(expected, rel=1e-5, abs=1e-5)
