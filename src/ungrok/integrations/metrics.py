"""Metrics under the names that other libraries log them by, and under ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any


def renamed(logged: Mapping[str, Any], names: Mapping[str, str], rule: Callable[[str], str | None]) -> dict[str, float]:
    """Return what was logged, under our names; what is no finite number is left out.

    Args:
        logged: Values by the library's names.
        names: The library's name by ours, for the metrics that the user names.
        rule: Our name for any other of the library's names; None where the metric is not to be kept.

    """
    theirs = set(names.values())
    by_rule = {ours: value for name, value in logged.items() if name not in theirs and (ours := rule(name))}
    return _numbers(by_rule | {ours: logged[name] for ours, name in names.items() if name in logged})


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: float(value) for name, value in values.items() if hasattr(value, "__float__")}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def from_trainer(name: str) -> str | None:
    """Return our name for one of a Hugging Face Trainer: what is evaluated on one set is taken for validation.

    ``eval_accuracy`` is validation_accuracy; ``eval_train_accuracy``, of a set named ``train`` among several, is train_accuracy.
    How long an evaluation took is not kept.
    """
    plain = name.removeprefix("eval_")
    if plain == name or plain.endswith(("runtime", "_per_second", "preparation_time")):
        return None
    return f"validation_{plain}" if plain in ("accuracy", "loss") else plain


def from_lightning(name: str) -> str:
    """Return our name for one that a Lightning module logs: ``val_acc`` or ``val/acc`` is validation_accuracy."""
    plain = name.replace("/", "_")
    plain = f"validation_{plain[4:]}" if plain.startswith("val_") else plain
    return f"{plain.removesuffix('_acc')}_accuracy" if plain.endswith("_acc") else plain
