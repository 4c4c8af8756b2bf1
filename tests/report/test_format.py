"""Numbers as the report prints them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ungrok.report import format
from ungrok.study.claims import Effect

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), (float("nan"), "–"), (pd.NA, "–"), (math.inf, "∞"), (-math.inf, "−∞"), (0.0, "0"), (-0.0, "0"),
        (12.3456, "12.3"), (-0.01234, "−0.0123"), (1234.56, "1,235"), (3e-7, "3e−07"), (300, "300"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_and_a_true_minus(value, shown):
    assert format.number(value) == shown


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(100, 2, "100"), (99.6, 2, "100"), (-147, 2, "−147"), (12.3, 2, "12"), (999.6, 3, "1,000"), (999.7, 4, "999.7")],
)
def test_no_number_of_usual_size_has_an_exponent(value, digits, shown):
    assert format.number(value, digits) == shown


def test_a_rounded_zero_has_no_sign():
    assert format.fixed(-0.0004) == "0.000"
    assert format.fixed(-0.0006) == "−0.001"


@pytest.mark.parametrize(
    ("effect", "value", "ends", "unit"),
    [
        (Effect(0.1, (-0.1, 0.25), "accuracy"), "10.0", "[−10.0, 25.0]", "percentage points, above 0 agrees"),
        (Effect(0.1, (-math.inf, 0.25), "accuracy"), "10.0", "[−∞, 25.0]", "percentage points, above 0 agrees"),
        (
            Effect(-1.70, (-1.89, -1.50), "updates", "log ratio"), "× 0.18", "[0.15, 0.22]", "updates, earlier ÷ later",
        ),
        (
            Effect(math.log(2300), (0.0, math.inf), "strength", "log ratio"), "× 2,300", "[1, ∞]", "strength, earlier ÷ later",
        ),
        (
            Effect(math.log(120), (-math.inf, math.log(1000)), "updates", "log ratio"), "× 120", "[0, 1,000]",
            "updates, earlier ÷ later",
        ),
        (Effect(-0.123456, (-1.5, 0.0), "1/accuracy"), "−0.123", "[−1.5, 0]", "1/accuracy, above 0 agrees"),
        (Effect(), "–", "–", ""),
        (Effect(None, unit="updates", scale="log ratio"), "–", "–", "updates, earlier ÷ later"),
    ],
)  # fmt: skip
def test_log_ratios_are_shown_as_ratios_and_accuracies_in_points(effect, value, ends, unit):
    assert format.estimate(effect).replace(NBSP, " ") == value
    assert format.interval(effect).replace(NBSP, " ") == ends
    assert format.unit_of(effect) == unit


def test_small_p_values_are_bounded():
    assert [format.p_value(p) for p in (0.0004, 0.0117, 1.0, None)] == ["< 0.001", "0.012", "1.000", "–"]


def test_a_p_value_stands_after_its_sign():
    assert [format.p_equals(p) for p in (0.0004, 0.0117)] == ["p < 0.001", "p = 0.012"]


def test_mean_and_spread_say_how_many_are_missing():
    assert format.mean_sd([0.1, 0.3]) == ("0.200", "± 0.141")
    assert format.mean_sd([0.1, None, 0.3]) == ("0.200", "± 0.141", "(2 of 3)")
    assert format.mean_sd([0.5]) == ("0.500",)
    assert format.mean_sd([None, float("nan")]) == ("–",)


def test_the_name_of_a_file_is_short_enough_and_its_own():
    one, other = format.slug("dose", "x" * 100, "a"), format.slug("dose", "x" * 100, "b")
    assert one != other
    assert len(one.encode()) == len(other.encode()) == 100
    assert len(format.slug("é" * 100).encode()) <= 100
    assert format.slug("dose", "pre grok") == "dose-pre-grok"
