"""What can be said of a single model beside shadow models: whether it would be unusual among those that never saw the forget set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ungrok.audits.calibrated import LEAST, Floats, Interval, sides_of, signals_of
from ungrok.audits.shadows import Shadows
from ungrok.audits.signals import margins
from ungrok.core.errors import RecipeError, listed

FLOOR = 1e-6
"""Least standard deviation of a fit, as a share of the largest signal or of 1."""

READING = (
    "p is the share of models that never saw the forget set, this one counted with them, of which as much or more is left: a small one says that this "
    "model is none of them. A large one says that this attack finds nothing."
)


@dataclass(frozen=True)
class OneModel:
    """One measure of one model.

    Args:
        value: Larger means that more is left.
        null: The values of the models that never saw the set, each in the place of the one under test, shape (models,).
        original: The mean of those that held it and unlearned nothing.

    """

    value: float
    null: Floats
    original: float

    @property
    def p(self) -> float:
        """Share of models, this one and those of the null, whose value is at least as large; exact where it is one of them."""
        return float((1 + (self.null >= self.value).sum()) / (1 + len(self.null)))

    @property
    def null_interval(self) -> Interval:
        """Where 95 % of the null lie."""
        return Interval(*(float(edge) for edge in np.quantile(self.null, [0.025, 0.975])))


@dataclass(frozen=True)
class AgainstShadows:
    """A single model beside shadow models.

    Args:
        stage: At which the shadows stand.
        forget: Label of the forget set.
        models: Numbers of shadows that never saw the set, and that held it.
        measures: ``ulira`` and ``klom``; see :func:`one_model`.
        reading: What p means, in words.

    """

    stage: str
    forget: str
    models: tuple[int, int]
    measures: Mapping[str, OneModel]
    reading: str = READING

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        told = {
            name: {"value": one.value, "p": one.p, "null": [*one.null_interval], "original": one.original}
            for name, one in self.measures.items()
        }
        return {"stage": self.stage, "forget": self.forget, "models": [*self.models], "measures": told}

    def __str__(self) -> str:
        lines = [
            f"{name}: {one.value:.3f}, p {one.p:.3f}; never saw it {one.null_interval.low:.3f} to {one.null_interval.high:.3f}, "
            f"nothing unlearned {one.original:.3f}"
            for name, one in self.measures.items()
        ]
        head = f"beside {self.models[0]} shadow models that never saw {self.forget!r} and {self.models[1]} that held it, at {self.stage}"
        return "\n".join([head, *lines, self.reading])


def one_model(signals: ArrayLike, never: ArrayLike, original: ArrayLike) -> dict[str, OneModel]:
    """Return what a single model's margins on a forget set say beside those of shadow models.

    - ``ulira``: the mean over examples of ``p(φ | held) / (p(φ | held) + p(φ | never seen))``, both densities Gaussian over shadows.
    - ``klom``: margins in standard deviations from the mean of models that never saw the examples; of these, over examples, KL to a unit
      normal, ``−log s + (s² + m²)/2 − ½``.

    Every model is scored by fits without it, the one under test and those that never saw the set in the same way, so that the rank of its
    value gives a p that is exact where it was retrained. One model cannot say how its method does on average, nor anything of one
    example: U-LiRA's AUC, KLoM by example and the NeurIPS score need many unlearned models. p is never below ``1 / (1 + models)``.

    Args:
        signals: Shape (examples,).
        never: Shape (models, examples), at least 4 models.
        original: Those of models that held the examples and unlearned nothing, at least 4.

    Raises:
        RecipeError: If shapes do not fit.

    """
    outside, inside = sides_of(never=never, original=original)
    own = signals_of("signals", np.asarray(signals)[None], least=1)
    if own.shape[1] != outside.shape[1]:
        raise RecipeError(f"signals: of {own.shape[1]} examples, and never of {outside.shape[1]}")
    alike = np.concatenate([own, outside])
    floor = FLOOR * max(1.0, float(np.abs(alike).max()), float(np.abs(inside).max()))
    scores: dict[str, Callable[[Floats, Floats, Floats], float]] = {"ulira": _ratio, "klom": _divergence}
    results = {}
    for name, score in scores.items():
        every = np.array([
            score(alike[k], _fit(np.delete(alike, k, axis=0), floor), _fit(inside, floor)) for k in range(len(alike))
        ])  # fmt: skip
        held = [
            score(inside[k], _fit(outside, floor), _fit(np.delete(inside, k, axis=0), floor))
            for k in range(len(inside))
        ]
        results[name] = OneModel(float(every[0]), every[1:], float(np.mean(held)))
    return results


def against(shadows: Shadows, logits: ArrayLike, targets: ArrayLike) -> AgainstShadows:
    """Return :func:`one_model` of a model's logits on a forget set that shadow models were asked about.

    Args:
        shadows: At one stage.
        logits: On the forget set, in the order of the pool, shape (examples, classes).
        targets: Its true classes, shape (examples,); they tell which of the sets it is.

    Raises:
        RecipeError: If no set has these classes in this order, or too few shadows reached the stage.

    """
    classes = np.asarray(targets)
    fits = [label for label, chosen in shadows.forget.items() if np.array_equal(shadows.targets[chosen], classes)]
    if len(fits) != 1:
        sizes = listed(f"{label} of {len(chosen)}" for label, chosen in shadows.forget.items())
        found = "several sets fit" if fits else "none of the sets has its classes in its order"
        raise RecipeError(
            f"forget: {len(classes)} examples, and {found}; the shadows were asked about {sizes}, in the order of their pool"
        )
    never, original = shadows.never(fits[0]), shadows.original(fits[0])
    if min(len(never), len(original)) < LEAST:
        raise RecipeError(
            f"shadows: {min(len(never), len(original))} of a side reached {shadows.stage}; at least {LEAST} are needed"
        )
    largest = float(np.finfo(np.float16).max)  # as shadow models are kept
    own = margins(np.clip(np.asarray(logits), -largest, largest).astype(np.float16), classes)
    return AgainstShadows(shadows.stage, fits[0], (len(never), len(original)), one_model(own, never, original))


def _fit(models: Floats, floor: float) -> Floats:
    """Return mean and standard deviation of each example, shape (2, examples)."""
    return np.stack([models.mean(axis=0), np.maximum(models.std(axis=0, ddof=1), floor)])


def _ratio(signals: Floats, never: Floats, held: Floats) -> float:
    from scipy.special import expit

    logs = [-0.5 * ((signals - mean) / deviation) ** 2 - np.log(deviation) for mean, deviation in (held, never)]
    return float(expit(logs[0] - logs[1]).mean())


def _divergence(signals: Floats, never: Floats, held: Floats) -> float:  # noqa: ARG001
    away = (signals - never[0]) / never[1]
    spread = max(float(away.std()), FLOOR)
    return float(-np.log(spread) + (spread**2 + away.mean() ** 2) / 2 - 0.5)
