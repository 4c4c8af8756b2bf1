"""Rewinding: choose the place on a path where forget error matches that of unseen data of the same classes."""

from __future__ import annotations

from collections.abc import Sequence


def rewind(forget_accuracy: Sequence[float | None], reference_accuracy: Sequence[float | None]) -> int | None:
    """Return the index of the place to rewind to, for a path of any method.

    The reference is the accuracy, at the end of the path, on validation examples of the forgotten classes; the place is
    the one whose forget accuracy is nearest to it, the earliest of equals (SCRUB+R, Kurmanji et al. 2023, section 3.4).

    Args:
        forget_accuracy: UA at each observed place, in [0, 1]; None where the model has diverged.
        reference_accuracy: Accuracy on same-class validation examples at the same places.

    Returns:
        None if no place, or no reference, is finite.

    """
    finite = [
        i
        for i, (ua, ref) in enumerate(zip(forget_accuracy, reference_accuracy, strict=True))
        if ua is not None and ref is not None
    ]
    if not finite:
        return None
    reference = reference_accuracy[finite[-1]]
    return min(finite, key=lambda i: (abs(forget_accuracy[i] - reference), i))  # type: ignore[operator]
