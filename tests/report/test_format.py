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


def test_a_rounded_zero_has_no_sign():
    assert format.fixed(-0.0004) == "0.000"
    assert format.fixed(-0.0006) == "−0.001"


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-0.1, 0.25, f"[−0.100,{NBSP}0.250]"), (-math.inf, 0.25, f"[−∞,{NBSP}0.250]"), (0.1, math.inf, f"[0.100,{NBSP}∞]"),
        (-math.inf, math.inf, f"[−∞,{NBSP}∞]"),
    ],
)  # fmt: skip
def test_an_end_without_a_bound_is_infinite(low, high, shown):
    assert format.interval(Effect(0.1, (low, high), "accuracy")) == shown


def test_without_an_effect_there_is_no_interval():
    assert format.interval(Effect()) == "–"


@pytest.mark.parametrize(
    ("effect", "shown"),
    [
        (Effect(-math.log(4.4), unit="updates", scale="log ratio"), "4.4× more updates"),
        (Effect(math.log(4.4), unit="updates", scale="log ratio"), "4.4× fewer updates"),
        (Effect(math.log(2), unit="strength", scale="log ratio", cut_at=1e-5), "2× less strength"),
        (Effect(-math.log(10), unit="standard deviations", scale="log ratio"), "10× more spread"),
        (Effect(math.log(3), unit="distance", scale="log ratio"), "3× less distance"),
        (Effect(0.0, unit="updates", scale="log ratio"), "1×"),
        (Effect(0.2, unit="accuracy"), ""),
        (Effect(None, unit="updates", scale="log ratio"), ""),
    ],
)
def test_log_ratios_are_also_factors(effect, shown):
    assert format.factor(effect) == shown


@pytest.mark.parametrize(
    ("effect", "value", "restriction", "measure"),
    [
        (Effect(unit="accuracy"), "0.123", "", "accuracy"),
        (Effect(unit="extraction strength"), "0.123", "", "extraction strength"),
        (Effect(unit="share of the starting accuracy"), "0.123", "", "share of the starting accuracy"),
        (Effect(unit="updates", scale="log ratio"), "0.12", "", "log ratio of updates"),
        (Effect(unit="updates", cut_at=100), "0.123", "restricted to 100", "updates, restricted to 100"),
        (Effect(unit="1/accuracy"), "0.123", "", "1/accuracy"),
        (
            Effect(unit="strength", scale="log ratio", cut_at=3e-6), "0.12", "restricted to 3e−06",
            "log ratio of strength, restricted to 3e−06",
        ),
        (Effect(), "0.123", "", "–"),
    ],
)  # fmt: skip
def test_scale_and_unit_decide_how_an_effect_is_written(effect, value, restriction, measure):
    assert format.in_unit(0.12345, effect) == value
    assert (format.restriction(effect), format.measure(effect)) == (restriction, measure)


def test_only_what_has_no_decimals_of_its_own_gets_three_digits():
    assert format.in_unit(12.3456, Effect(unit="updates")) == "12.3"
    assert format.in_unit(12.3456, Effect(unit="accuracy")) == "12.346"


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
