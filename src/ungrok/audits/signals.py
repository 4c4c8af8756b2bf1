"""Signals of stored logits, one number for each model and example."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ungrok.core.errors import RecipeError

Floats = NDArray[np.float64]


def margins(logits: ArrayLike, targets: ArrayLike) -> Floats:
    """Return the margin, which is the logit-scaled confidence.

    ``z_y − logsumexp of the other classes = log p_y − log(1 − p_y)``, in float64 (Carlini et al. 2022, arXiv 2112.03570, eq. 6).

    Args:
        logits: Shape (models, examples, classes) or (examples, classes), any float type; at least two classes.
        targets: True classes, shape (examples,), integers.

    Returns:
        float64, shape (models, examples) or (examples,); 0 where the true class has probability one half. NaN where a logit is.

    Raises:
        RecipeError: If shapes do not fit, or a target is no class.

    """
    stored, labels = _checked(logits, targets)
    if stored.ndim == 2:
        return _margins(stored, labels)
    return np.stack([_margins(model, labels) for model in stored])


def _checked(logits: ArrayLike, targets: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    stored, labels = np.asarray(logits), np.asarray(targets)
    if stored.ndim not in (2, 3) or stored.shape[-1] < 2 or labels.shape != stored.shape[-2:-1]:
        raise RecipeError(f"logits of shape {stored.shape} and targets of shape {labels.shape} do not fit together")
    if labels.size and not 0 <= labels.min() <= labels.max() < stored.shape[-1]:
        raise RecipeError(
            f"targets: classes 0 to {stored.shape[-1] - 1} are there, not {labels.min()} to {labels.max()}"
        )
    return stored, labels


def _margins(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    others = logits.astype(np.float64)
    rows = np.arange(len(labels))
    true = others[rows, labels].copy()
    others[rows, labels] = -np.inf
    top = others.max(axis=1, keepdims=True)
    return np.asarray(true - (top[:, 0] + np.log(np.exp(others - top).sum(axis=1))))


def probabilities(logits: ArrayLike, targets: ArrayLike) -> Floats:
    """Return the probability of the true class; arguments, shapes and errors are those of :func:`margins`."""
    from scipy.special import expit

    return np.asarray(expit(margins(logits, targets)), dtype=np.float64)


def correctness(logits: ArrayLike, targets: ArrayLike) -> NDArray[np.bool_]:
    """Return whether the true class has the largest logit, bool; arguments, shapes and errors are those of :func:`margins`.

    Raises:
        RecipeError: Also if a logit is not finite: a diverged model has no answer.

    """
    stored, labels = _checked(logits, targets)
    if not np.isfinite(stored).all():
        raise RecipeError("logits: some are not finite; leave diverged models out")
    return np.asarray(stored.argmax(axis=-1) == labels)
