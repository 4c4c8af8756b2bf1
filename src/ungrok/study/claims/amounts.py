"""Effects in words: sizes in natural units, with their direction and their interval."""

from __future__ import annotations

import math

from ungrok.study.claims.verdicts import Effect


def natural(effect: Effect) -> str:
    """Return the size of an effect in natural units, for instance ``5.5 times`` or ``2.6 percentage points``."""
    assert effect.value is not None
    return size(effect, abs(effect.value))


def size(effect: Effect, value: float) -> str:
    """Return a value on the scale of an effect in natural units."""
    if effect.scale == "log ratio":
        return f"{_digits(math.exp(value))} times"
    return f"{100 * value:.2g} percentage points" if effect.unit == "accuracy" else _digits(value)


def _digits(value: float) -> str:
    """Return a number with three digits that count, without an exponent if it is large: ``354,000``."""
    short = f"{value:.3g}"
    return f"{float(short):,.0f}" if abs(value) >= 1000 else short


def amount(effect: Effect, value: float, better: str, worse: str) -> str:
    """Return a size with its direction, for instance ``5.5 times more updates``; a size that would be printed as none is no difference."""
    said = size(effect, abs(value))
    return "no difference" if said == size(effect, 0.0) else f"{said} {better if value > 0 else worse}"


def interval(effect: Effect) -> str:
    """Return the interval in the direction of the effect."""
    assert effect.value is not None
    low, high = effect.interval
    if not (math.isfinite(low) or math.isfinite(high)):
        return "[no bound]"
    ends = (low, high) if effect.value >= 0 else (-high, -low)
    return f"[{', '.join(_end(effect, end) for end in ends)}]"


def _end(effect: Effect, end: float) -> str:
    """Return one end of an interval in natural units."""
    if not math.isfinite(end):
        return "no bound"
    if effect.scale == "log ratio":
        return _digits(math.exp(end))
    return f"{(100 if effect.unit == 'accuracy' else 1) * end:.2g}"
