"""Grids of learning rates and strengths: those that a recipe lists, and those by factors of two that a study finds itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ungrok.core.schema import canonical
from ungrok.methods import Iterative, OneShot, Unlearner

Grid = dict[float, str]
"""The labels of one method at several learning rates, the smallest first."""


def rated(name: str, rate: float) -> str:
    """Return the name of one entry of a grid, for instance ``finetune lr=0.001``."""
    return f"{name} lr={float(rate):g}"


def grids(unlearners: Sequence[Unlearner]) -> dict[str, Grid]:
    """Return, per method that a recipe gives with several learning rates, its labels by rate."""
    alike: dict[tuple[str, str], Grid] = {}
    for unlearner in unlearners:
        rate, label = getattr(unlearner, "lr", None), unlearner.label
        # Entries of a grid differ in nothing but the rate, which the recipe has put at the end of their labels.
        if rate is not None and (name := label.removesuffix(rated("", rate))) != label:
            settings = {key: value for key, value in unlearner.to_dict().items() if key not in ("name", "lr")}
            alike.setdefault((name, canonical(settings)), {})[float(rate)] = label
    return {name: dict(sorted(grid.items())) for (name, _), grid in alike.items() if len(grid) > 1}


@dataclass(frozen=True)
class Extent:
    """How far a grid by factors of two reaches from the values that it starts from.

    Args:
        below: Number of values below them.
        above: Number of values above them.

    """

    below: int = 1
    above: int = 1

    def extended(self, lower: int, higher: int, room: int) -> Extent:
        """Return the extent with one more value at each end that is wanted.

        Args:
            lower: Number of paths that want a value below.
            higher: Number of paths that want a value above.
            room: How many values may be added. If it is one and both ends are wanted, that goes to the end that more paths want,
                and below where they are as many.

        """
        down, up = lower > 0 and room > 0, higher > 0 and room > 0
        if down and up and room == 1:
            down, up = lower >= higher, lower < higher
        return Extent(self.below + down, self.above + up)


def at_rates(method: Iterative, extent: Extent) -> dict[float, Iterative]:
    """Return a method at the rates of a grid around its own, the smallest first; the others are named after their rates."""
    variants = {}
    for step in range(-extent.below, extent.above + 1):
        rate = method.lr * 2.0**step
        own = {"lr": rate, "name": rated(method.label, rate)}
        variants[rate] = method.model_copy(update=own) if step else method
    return variants


def with_strengths(method: OneShot, extent: Extent) -> OneShot:
    """Return a one-shot method with further strengths by factors of two: weaker ones below its own, and stronger ones above."""

    def dose(alpha: float) -> float:
        return method.model_copy(update={"alpha": (alpha,)}).doses()[0]

    own = sorted(_strengths(method), key=dose)
    factor = 2.0 if dose(2 * own[0]) > dose(own[0]) else 0.5  # a threshold is stronger where it is lower
    weaker = [own[0] * factor**step for step in range(-extent.below, 0)]
    stronger = [own[-1] * factor**step for step in range(1, extent.above + 1)]
    return method.model_copy(update={"alpha": (*weaker, *own, *stronger)})


def _strengths(method: Any) -> tuple[float, ...]:
    """Return the strengths that a one-shot method lists as its ``alpha``."""
    return tuple(method.alpha)
