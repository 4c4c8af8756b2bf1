"""Rounding of weights and barriers against slow versions, written number by number."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ungrok.audits.interpolate import barrier
from ungrok.audits.quantize import rounded


def nearest(ratio):
    """Return the whole number nearest to a fraction, halves to the even one."""
    below = math.floor(ratio)
    if ratio - below == Fraction(1, 2):
        return below if below % 2 == 0 else below + 1
    return below if ratio - below < Fraction(1, 2) else below + 1


def slow_rounding(weight, bits):
    """Round rows of exact numbers to multiples of the largest over 2^(bits − 1) − 1."""
    most = 2 ** (bits - 1) - 1
    rows = []
    for row in weight.tolist():
        exact = [Fraction(value) for value in row]
        largest = max(abs(value) for value in exact)
        rows.append([float(nearest(value * most / largest) * largest / most) if largest else 0.0 for value in exact])
    return rows


@settings(max_examples=80)
@given(
    st.lists(st.lists(st.integers(-64, 64), min_size=4, max_size=4), min_size=1, max_size=4),
    st.sampled_from([2, 3, 4, 8]),
)
def test_rounding_of_whole_numbers_over_64(numbers, bits):
    """Halves occur, and rows of zeros do."""
    weight = torch.tensor(numbers, dtype=torch.float64) / 64
    expected = torch.tensor(slow_rounding(weight, bits), dtype=torch.float64)
    torch.testing.assert_close(rounded(weight, bits), expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("bits", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_of_normal_numbers(bits, dtype):
    weight = torch.randn(6, 50, generator=torch.Generator().manual_seed(bits)).to(dtype)
    expected = torch.tensor(slow_rounding(weight, bits), dtype=torch.float64).to(dtype)
    assert torch.equal(rounded(weight, bits), expected)


def test_rounding_of_a_convolution_by_its_output_channels():
    weight = torch.randn(3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor(slow_rounding(weight.reshape(3, 8), 4), dtype=torch.float64).float().reshape(3, 2, 2, 2)
    assert torch.equal(rounded(weight, 4), expected)


def slow_barrier(places, losses):
    highest = None
    for t, loss in zip(places, losses, strict=True):
        straight = (1 - t) * losses[0] + t * losses[-1]
        if highest is None or loss - straight > highest:
            highest = loss - straight
    return highest


@settings(max_examples=80)
@given(st.lists(st.floats(0, 10), min_size=2, max_size=21))
def test_barrier(losses):
    places = [number / (len(losses) - 1) for number in range(len(losses))]
    assert barrier(places, losses) == pytest.approx(slow_barrier(places, losses), abs=1e-12)
    assert barrier(places, losses) >= 0
    assert barrier(places, [loss + 1 for loss in losses]) == pytest.approx(barrier(places, losses), abs=1e-12)
