"""What an audit says: every measure of every method at every stage, and beside it whether the measure may speak."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ungrok.audits.calibrated import LEAST, Calibrated, interval_around
from ungrok.audits.entanglement import entanglement
from ungrok.audits.klom import klom
from ungrok.audits.memorization import memorization
from ungrok.audits.neurips import neurips_score
from ungrok.audits.planted import CANNOT_TELL, planted
from ungrok.audits.rmia import RMIA, rmia
from ungrok.audits.shadows import Floats, Halves, Shadows
from ungrok.audits.signals import correctness
from ungrok.audits.ulira import ulira

Row = dict[str, Any]

Measure = Callable[..., Calibrated]

MEASURES: dict[str, Measure] = {"ulira": ulira, "rmia": rmia, "klom": klom, "neurips": neurips_score}
"""By name: from signals of unlearned models and of models that never saw the examples to an outcome."""

THIRDS = ("low", "middle", "high")


def table(
    every: Sequence[Shadows],
    measures: Iterable[str] = tuple(MEASURES),
    *,
    memorization: bool = False,
    entanglement: bool = False,
) -> dict[str, Any]:
    """Return what ``audit.json`` holds, as plain JSON types.

    Args:
        every: The logits at every stage.
        measures: Names of :data:`MEASURES`.
        memorization: Whether the memorization of the pool's examples is told.
        entanglement: Whether the entanglement of every forget set is told.

    Returns:
        ``stages``: how many shadows were trained and how many reached the stage. ``planted``: for every measure, stage and forget set, what it says
        of planted truths, and the words that follow. ``rows``: for every measure, stage, forget set and method ``value``, ``interval``, ``null``, how
        many models are needed, and the same words; only the reason where models are too few. ``accuracies``: means over models on the forget set,
        on what else they were trained on, and on test examples; of unlearned models also how many are ``down`` at or below the accuracy on the forget
        set of those that never saw it. ``memorization``, ``entanglement``: where asked for.

    """
    names = list(measures)
    content: dict[str, Any] = {
        "stages": [_stage(stage) for stage in every],
        "planted": [_planted(stage, forget, name) for stage in every for forget in stage.forget for name in names],
    }
    words = {(row["stage"], row["forget"], row["measure"]): row["words"] for row in content["planted"]}
    content["rows"] = [
        _row(stage, forget, method, name) | {"words": words[stage.stage, forget, name]}
        for stage in every
        for forget, methods in stage.unlearned.items()
        for method in methods
        for name in names
    ]
    content["accuracies"] = [row for stage in every for forget in stage.forget for row in _accuracies(stage, forget)]
    if memorization:
        content["memorization"] = [_memorization(stage) for stage in every]
    if entanglement:
        content["entanglement"] = [_entanglement(stage, forget) for stage in every for forget in stage.forget]
    return content


def _stage(stage: Shadows) -> Row:
    return {
        "stage": stage.stage,
        "pool": stage.held.shape[1],
        "trained": stage.trained,
        "reached": len(stage.numbers),
        "share": stage.share,
        "holding": {forget: int(stage.holding(forget).sum()) for forget in stage.forget},
    }


def halves(stage: Shadows, forget: str, *, test: bool = False) -> dict[str, Floats]:
    """Return the signals of planted truths: models that never saw a forget set, in two halves, and as many that held it.

    Args:
        stage: The logits.
        forget: Label of the forget set.
        test: Whether margins on all test examples stand behind those on the set.

    Returns:
        ``oracle`` and ``retrain``, the halves; ``identity``, of which nothing was unlearned; ``half``: in every second column of the set
        ``retrain``, in the others and on test examples ``identity``. All are of shape (models, examples) with the same number of models, half of
        those that a row rests on.

    """
    never, original = stage.never(forget, test=test), stage.original(forget, test=test)
    models = min(len(never) // 2, len(original))
    oracle, retrain, identity = never[:models], never[models : 2 * models], original[:models]
    column = np.arange(never.shape[1])
    half = np.where((column % 2 == 0) & (column < len(stage.forget[forget])), retrain, identity)
    return {"oracle": oracle, "retrain": retrain, "identity": identity, "half": half}


def _planted(stage: Shadows, forget: str, name: str) -> Row:
    measure, test = _measure(stage, forget, name)
    signals = halves(stage, forget, test=test)
    oracle, models = signals.pop("oracle"), len(signals["retrain"])
    row: Row = {"measure": name, "stage": stage.stage, "forget": forget, "models": models}
    if models < LEAST:
        return row | {"words": CANNOT_TELL, "reason": _few(models), "truths": []}
    told = planted(measure, oracle, **signals)
    truths = [
        {
            "name": truth.name,
            "value": truth.value,
            "excess": truth.excess,
            "interval": _numbers(truth.interval),
            "null": truth.null,
            "holds": bool(truth.holds),
        }
        for truth in told.truths
    ]
    return row | {"words": told.words, "reason": "", "truths": truths}


def _row(stage: Shadows, forget: str, method: str, name: str) -> Row:
    measure, test = _measure(stage, forget, name)
    unlearned, never = stage.after(forget, method, test=test), stage.never(forget, test=test)
    row: Row = {"measure": name, "stage": stage.stage, "forget": forget, "method": method}
    row |= {"models": [len(unlearned), len(never)], "examples": len(stage.forget[forget])}
    fewest = min(len(unlearned), len(never))
    if fewest < LEAST:
        return row | {"reason": _few(fewest)}
    outcome = measure(unlearned, never, original=stage.original(forget, test=test))
    needed, alone = outcome.needed, outcome.over_examples
    return row | {
        "reason": "",
        "value": outcome.value,
        "excess": outcome.excess,
        "interval": _numbers(outcome.interval),
        "over_models": _numbers(outcome.over_models),
        "over_examples": alone and _numbers(alone),
        "null": {
            "center": outcome.null.center,
            "mean": outcome.null.mean,
            "interval": _numbers(outcome.null.interval),
            "upper": outcome.null.upper,
            "models": [*outcome.null.models],
        },
        "needed": needed and {"models": needed.models, "extrapolated": needed.extrapolated, "value": needed.value},
        "summaries": {key: _number(value) for key, value in outcome.summaries.items()},
    }


def _measure(stage: Shadows, forget: str, name: str) -> tuple[Measure, bool]:
    """Return a measure of margins, and whether it asks for those on test examples behind those on the forget set."""
    return (partial(_rmia, len(stage.forget[forget])), True) if name == "rmia" else (MEASURES[name], False)


def _rmia(examples: int, target: Floats, out: Floats, original: Floats | None = None) -> RMIA:
    """Return RMIA's outcome, with all that stands behind so many examples as its population."""
    from scipy.special import expit

    target, out = expit(target), expit(out)
    return rmia(
        target[:, :examples],
        out[:, :examples],
        population=(target[:, examples:], out[:, examples:]),
        original=None if original is None else expit(original),
    )


def _number(value: float) -> float | None:
    """Return a number for JSON, which knows neither NaN nor infinity."""
    return float(value) if np.isfinite(value) else None


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _few(models: int) -> str:
    return f"{models} models of a side are too few; at least {LEAST} are needed"


def _accuracies(stage: Shadows, forget: str) -> list[Row]:
    inside = stage.holding(forget)
    groups = {"original": inside, "never": ~inside}
    rows = [
        _accuracy(stage, forget, who, stage.logits[chosen], stage.test[chosen], stage.held[chosen])
        for who, chosen in groups.items()
    ]
    for method, own in stage.unlearned.get(forget, {}).items():
        held, down = stage.held[np.searchsorted(stage.numbers, own.numbers)], stage.down(forget, method)
        row = _accuracy(stage, forget, method, own.logits, own.test, held)
        rows.append(row | {"down": None if down is None else int(down.sum())})
    return rows


def _accuracy(stage: Shadows, forget: str, who: str, logits: Halves, test: Halves, held: ArrayLike) -> Row:
    row: Row = {"stage": stage.stage, "forget": forget, "who": who, "models": len(logits)}
    if len(logits) == 0:
        return row | dict.fromkeys(("forget_set", "retain", "test"))
    right, chosen = correctness(logits, stage.targets), stage.forget[forget]
    kept = np.array(held, dtype=bool)
    kept[:, chosen] = False
    return row | {
        "forget_set": float(right[:, chosen].mean()),
        "retain": float(right[kept].mean()),
        "test": float(correctness(test, stage.test_targets).mean()),
    }


def _memorization(stage: Shadows) -> Row:
    row: Row = {"stage": stage.stage, "models": len(stage.numbers)}
    count = stage.held.sum(axis=0)
    known = np.flatnonzero((count > 0) & (count < len(stage.held)))
    if len(stage.held) < LEAST or len(known) == 0:
        return row | {"reason": _few(len(stage.held)), "examples": len(known)}
    outcome = memorization(correctness(stage.logits, stage.targets)[:, known], stage.held[:, known])
    return row | {
        "reason": "",
        "examples": len(known),
        "mean": outcome.mean,
        "interval": _numbers(outcome.interval),
        "null": outcome.null.upper,
        "thirds": {
            name: {"examples": len(third), "mean": float(outcome.values[third].mean())}
            for name, third in zip(THIRDS, outcome.thirds(), strict=True)
        },
    }


def _entanglement(stage: Shadows, forget: str) -> Row:
    """Return the entanglement of logits with those of what else a model was trained on, over the models that held the set."""
    inside, chosen = np.flatnonzero(stage.holding(forget)), stage.forget[forget]
    row: Row = {"stage": stage.stage, "forget": forget, "models": len(inside)}
    if len(inside) < LEAST or len(chosen) < LEAST:
        return row | {"reason": _few(len(inside)) if len(inside) < LEAST else "the forget set is too small"}
    kept = stage.held.copy()
    kept[:, chosen] = False
    asked = [entanglement(stage.logits[i][kept[i]], stage.logits[i][chosen]) for i in inside]
    values = np.array([one.value for one in asked])
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return row | {
        "reason": "",
        "value": _number(mean),
        "interval": _numbers(interval_around(mean, error, len(values) - 1, len(values), (0, np.inf))),
        "null": _numbers(np.mean([one.null.interval for one in asked], axis=0)),
    }
