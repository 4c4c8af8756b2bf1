"""Numbers as the report prints them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ungrok.report import format

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


def test_a_rounded_zero_has_no_sign():
    assert format.fixed(-0.0004) == "0.000"
    assert format.fixed(-0.0006) == "−0.001"


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-0.1, 0.25, f"[−0.100,{NBSP}0.250]"), (None, 0.25, f"[−∞,{NBSP}0.250]"), (0.1, None, f"[0.100,{NBSP}∞]"),
        (None, None, f"[−∞,{NBSP}∞]"),
    ],
)  # fmt: skip
def test_an_end_without_a_bound_is_infinite(low, high, shown):
    assert format.interval({"effect": 0.1, "ci_low": low, "ci_high": high, "unit": "accuracy"}) == shown


def test_without_an_effect_there_is_no_interval():
    assert format.interval({"effect": None, "ci_low": None, "ci_high": None, "unit": ""}) == "–"


@pytest.mark.parametrize(
    ("effect", "unit", "shown"),
    [
        (-math.log(4.4), "log ratio of updates", "4.4× more updates"),
        (math.log(4.4), "log ratio of updates", "4.4× fewer updates"),
        (math.log(2), "log ratio of strength, restricted to 1e-05", "2× less strength"),
        (-math.log(10), "log ratio of standard deviations", "10× more spread"),
        (0.0, "log ratio of updates", "1×"),
        (0.2, "accuracy", ""),
        (None, "log ratio of updates", ""),
    ],
)
def test_log_ratios_are_also_factors(effect, unit, shown):
    assert format.factor(effect, unit) == shown


def test_small_p_values_are_bounded():
    assert [format.p_value(p) for p in (0.0004, 0.0117, 1.0, None)] == ["< 0.001", "0.012", "1.000", "–"]


def test_mean_and_spread_say_how_many_are_missing():
    assert format.mean_sd([0.1, 0.3]) == ("0.200", "± 0.141")
    assert format.mean_sd([0.1, None, 0.3]) == ("0.200", "± 0.141", "(2 of 3)")
    assert format.mean_sd([0.5]) == ("0.500",)
    assert format.mean_sd([None, float("nan")]) == ("–",)
