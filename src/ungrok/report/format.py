"""Numbers and words as the report prints them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

MISSING = "–"

# Unit (its first words) → decimals; a unit that is not here gets three significant digits.
DECIMALS = {"accuracy": 3, "extraction": 3, "share of": 3, "log ratio": 2}

# A word of the unit of a log ratio → what a positive and a negative effect mean for the later stage.
FACTORS = {
    "updates": ("fewer updates", "more updates"),
    "strength": ("less strength", "more strength"),
    "deviations": ("less spread", "more spread"),
}


def missing(value: object) -> bool:
    """Return whether a table cell holds nothing: None, NaN or NA."""
    return value is None or bool(pd.isna(value))  # type: ignore[call-overload]


def number(value: Any, digits: int = 3) -> str:
    """Return a number with so many significant digits, never in scientific notation from 1000 on."""
    if missing(value):
        return MISSING
    value = float(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
    return _signed(text)


def whole(value: Any) -> str:
    """Return an integer without separators."""
    return MISSING if missing(value) else str(round(value))


def fixed(value: Any, decimals: int = 3) -> str:
    """Return a number with so many decimals."""
    return MISSING if missing(value) else _signed(f"{float(value):.{decimals}f}")


def _signed(text: str) -> str:
    """Write a true minus sign, and none before a zero."""
    return re.sub(r"^-(?=[0.]*$)", "", text).replace("-", "−")


def in_unit(value: Any, unit: str) -> str:
    """Return a number with the digits that its unit deserves."""
    for start, decimals in DECIMALS.items():
        if unit.startswith(start):
            return fixed(value, decimals)
    return number(value)


def interval(verdict: Mapping[str, Any]) -> str:
    """Return the interval of a verdict; an end without a bound is infinite, and there is none without an effect."""
    if missing(verdict["effect"]):
        return MISSING
    low, high = (verdict[end] for end in ("ci_low", "ci_high"))
    left = "−∞" if missing(low) else in_unit(low, verdict["unit"])
    right = "∞" if missing(high) else in_unit(high, verdict["unit"])
    return bracketed(left, right)


def bracketed(left: str, right: str) -> str:
    """Return ``[left, right]``, which no line break parts."""
    return f"[{left}, {right}]".replace(" ", "\N{NO-BREAK SPACE}")


def factor(effect: Any, unit: str) -> str:
    """Return a log ratio as a factor, for instance ``4.4× more updates``; empty for any other unit."""
    if missing(effect) or not unit.startswith("log ratio"):
        return ""
    better, worse = next(words for name, words in FACTORS.items() if name in unit)
    size = number(math.exp(abs(effect)), 2)
    return "1×" if size == "1" else f"{size}× {better if effect > 0 else worse}"


def restriction(unit: str) -> str:
    """Return what an effect was restricted to, as its unit says; empty where it was not."""
    _, word, budget = unit.partition("restricted to ")
    return f"{word}{_signed(budget)}" if word else ""


def p_value(value: Any) -> str:
    """Return a p-value with three decimals, or that it is smaller."""
    return "< 0.001" if not missing(value) and value < 0.001 else fixed(value)


def level(target: float | str) -> str:
    """Return a target as the verdicts name it, for instance ``UA ≤ 0.1``."""
    return f"UA ≤ {target if isinstance(target, str) else format(target, 'g')}"


def mean_sd(values: Sequence[Any], decimals: int = 3) -> tuple[str, ...]:
    """Return mean and ± standard deviation of what is there, and of how many where some are missing."""
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


def listed(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def plural(count: int, word: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def slug(*parts: str) -> str:
    """Return a file name made of words."""
    return re.sub(r"[^\w.=-]+", "-", "-".join(parts)).strip("-")
