"""One model under one stress test, as rows."""

from __future__ import annotations

from typing import Any

from torch import nn

from ungrok.audits.base import Setting, StressMaterial, StressTest
from ungrok.audits.scoring import Score


def attacked(test: StressTest, model: nn.Module, material: StressMaterial, score: Score) -> list[dict[str, Any]]:
    """Return one row per setting and observed place of a stress test.

    Args:
        test: The attack.
        model: Not changed.
        material: What the attacker may work with.
        score: Reads a model; UA on the forget examples that the setting's attacker does not hold.

    Returns:
        ``attack`` (label), ``kind``, ``setting``, ``share``, ``lr``, ``dose``, ``dose_name``, ``updates``,
        :data:`ungrok.audits.scoring.NUMBERS`, ``barrier_forget``, ``barrier_retain`` (None but for interpolation) and ``diverged``.

    Raises:
        RecipeError: If a model that the test needs is missing, or a set is empty.
        NotApplicable: If the test does not apply to this model.

    """
    untouched: dict[float | None, dict[str, float | None]] = {}
    return [row for setting in test.settings() for row in _rows(test, model, material, score, setting, untouched)]


def _rows(
    test: StressTest,
    model: nn.Module,
    material: StressMaterial,
    score: Score,
    setting: Setting,
    untouched: dict[float | None, dict[str, float | None]],
) -> list[dict[str, Any]]:
    """Return the rows of one setting; ``untouched`` keeps what was read of the untouched model, by the share that is held."""
    held_back = material.held_back(setting.share)
    rows: list[dict[str, Any]] = []
    scored: dict[str, float | None] = {}
    for count, step in enumerate(test.path(model, material, setting)):
        if not test.observed(step):
            continue
        if count == 0 and setting.share in untouched:
            scored = untouched[setting.share]
        elif test.moves or not scored:
            scored = dict(score(step.model, held_back))
        if count == 0:
            untouched[setting.share] = scored
        numbers = scored | dict(step.numbers)
        place = {"dose": float(step.dose), "dose_name": test.dose, "updates": step.updates}
        diverged = None in (numbers["UA"], numbers["RA"], numbers["TA"])
        rows.append(_who(test, setting) | place | numbers | _NO_BARRIER | {"diverged": diverged})
    whole = test.summary(rows)
    return [row | whole for row in rows]


_NO_BARRIER = {"barrier_forget": None, "barrier_retain": None}


def _who(test: StressTest, setting: Setting) -> dict[str, Any]:
    return {
        "attack": test.label,
        "kind": test.kind,
        "setting": setting.label,
        "share": setting.share,
        "lr": setting.lr,
    }
