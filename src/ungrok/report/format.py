"""Numbers and words as the report prints them."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ungrok.study.claims import At, Effect

MISSING = "–"

POINTS = "percentage points"
"""The unit in which differences of accuracies are printed."""

MOST_EXPONENT = 700.0
"""Beyond it the exponential function overflows."""


def missing(value: object) -> bool:
    """Return whether a table cell holds nothing: None, NaN or NA."""
    return value is None or value is pd.NA or value != value  # NaN alone differs from itself


def number(value: Any, digits: int = 3) -> str:
    """Return a number with so many significant digits; one that has more before the point as an integer, with separators from 1000 on."""
    if missing(value):
        return MISSING
    value = float(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    whole_from = 10**digits - 0.5 if digits <= 3 else 1000  # what rounds to more digits would be shown with an exponent
    text = f"{value:,.0f}" if abs(value) >= whole_from else f"{value:.{digits}g}"
    return _signed(text)


def whole(value: Any) -> str:
    """Return an integer without separators."""
    return MISSING if missing(value) else str(round(value))


def fixed(value: Any, decimals: int = 3) -> str:
    """Return a number with the given number of decimals."""
    return MISSING if missing(value) else _signed(f"{float(value):.{decimals}f}")


def _signed(text: str) -> str:
    """Write a true minus sign, and none before a zero."""
    return re.sub(r"^-(?=[0.]*$)", "", text).replace("-", "−")


def ratio(value: float | None) -> str:
    """Return a log ratio as a ratio with two significant digits, from 10 on as an integer, for instance ``0.18`` or ``2,300``."""
    if missing(value):
        return MISSING
    assert value is not None
    size = math.exp(value) if value < MOST_EXPONENT else math.inf
    return f"{size:,.0f}" if 10 <= size < math.inf else number(size, 2)


def shown(value: float | None, effect: Effect) -> str:
    """Return an effect, or an end of its interval, as tables print it: log ratios as ratios, accuracies in percentage points."""
    if missing(value):
        return MISSING
    assert value is not None
    if effect.scale == "log ratio":
        return ratio(value)
    return fixed(100 * value, 1) if effect.unit == "accuracy" and math.isfinite(value) else number(value)


def estimate(effect: Effect) -> str:
    """Return the estimate of an effect as tables print it, for instance ``× 0.18``."""
    times = "×\N{NO-BREAK SPACE}" if effect.scale == "log ratio" and effect.value is not None else ""
    return times + shown(effect.value, effect)


def interval(effect: Effect) -> str:
    """Return the interval of an effect; an end without a bound is infinite, and there is none without an effect."""
    if effect.value is None:
        return MISSING
    return bracketed(*(shown(end, effect) for end in effect.interval))


def unit_of(effect: Effect) -> str:
    """Return in what a column of effects is counted, and what its direction means."""
    if effect.scale == "log ratio":
        return f"{effect.unit}, earlier ÷ later"
    # Of some accuracies the paper wants more and of others less.
    return f"{POINTS if effect.unit == 'accuracy' else effect.unit}, above 0 agrees" if effect.unit else ""


def bracketed(left: str, right: str) -> str:
    """Return ``[left, right]``, which stays on one line."""
    return f"[{left}, {right}]".replace(" ", "\N{NO-BREAK SPACE}")


def p_value(value: Any) -> str:
    """Return a p-value with three decimals, or ``< 0.001``."""
    return "< 0.001" if not missing(value) and value < 0.001 else fixed(value)


def p_equals(value: float) -> str:
    """Return for instance ``p = 0.012`` or ``p < 0.001``."""
    return f"p {p_value(value)}" if value < 0.001 else f"p = {p_value(value)}"


def level(target: float | str) -> str:
    """Return a target as the verdicts name it, for instance ``UA ≤ 0.1``."""
    return str(At.target(target))


def mean_sd(values: Sequence[Any], decimals: int = 3) -> tuple[str, ...]:
    """Return mean and ± standard deviation of the values that are there, and their number where some are missing."""
    there = pd.Series([float(value) for value in values if not missing(value)], dtype=float)
    if there.empty:
        return (MISSING,)
    spread = (f"± {fixed(there.std(), decimals)}",) if len(there) > 1 else ()
    some = (f"({len(there)} of {len(values)})",) if len(there) < len(values) else ()
    return (fixed(there.mean(), decimals), *spread, *some)


def median_range(values: Sequence[float]) -> str:
    """Return the median and, of several values, the range."""
    if not len(values):
        return MISSING
    middle = number(float(pd.Series(values).median()))
    return middle if len(values) == 1 else f"{middle} {bracketed(number(min(values)), number(max(values)))}"


def plural(count: int, word: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def slug(*parts: str) -> str:
    """Return a file name made of words, at most 100 bytes long."""
    whole = re.sub(r"[^\w.=-]+", "-", "-".join(parts)).strip("-")
    if len(whole.encode()) <= 100:
        return whole
    return whole.encode()[:87].decode(errors="ignore") + f"-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"
