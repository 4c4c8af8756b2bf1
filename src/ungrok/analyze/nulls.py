"""Null sets: as many examples as there are to forget, drawn where there is nothing to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ungrok.analyze.base import Null, Reading
from ungrok.core.seeds import generator

NULLS = ("split_half", "same_classes", "other_classes")
"""Names of the nulls that :func:`null_draws` draws."""


@dataclass(frozen=True)
class NullDraw:
    """Two sets of the same size, and the one that both are compared with; all int64 indices of examples.

    Args:
        forget: Examples to be forgotten.
        null: As many examples of the retain set.
        against: Other examples of the retain set.

    """

    forget: Tensor
    null: Tensor
    against: Tensor


def _taken(members: Tensor, count: int, draw: torch.Generator) -> Tensor:
    return members[torch.randperm(len(members), generator=draw)[:count]]


def permuted(forget: Tensor, retain: Tensor, draw: torch.Generator) -> NullDraw:
    """Shuffle membership, sizes kept; ``null`` and ``against`` are then drawn from both sets."""
    pool = _taken(torch.cat([forget, retain]), len(forget) + len(retain), draw)
    return NullDraw(forget, pool[: len(forget)], pool[len(forget) :])


def split_half(forget: Tensor, retain: Tensor, draw: torch.Generator) -> NullDraw:
    """Take as many retain examples as there are to forget, but at most half of them, from the retain set."""
    order = _taken(retain, len(retain), draw)
    count = min(len(forget), len(retain) // 2)
    return NullDraw(_taken(forget, count, draw), order[:count], order[count:])


def class_matched(
    forget: Tensor, retain: Tensor, targets: Tensor, draw: torch.Generator, *, same: bool
) -> NullDraw | None:
    """Take retain examples with the class composition of the forget set.

    Args:
        forget: Indices into ``targets``.
        retain: Indices into ``targets``.
        targets: int64, shape (n,).
        draw: Source of randomness.
        same: True: take as many examples of each forgotten class as are forgotten, at most half of those in the retain set.
            False: take them from a random class of which nothing is forgotten, one for each forgotten class.

    Returns:
        None where the retain set lacks a forgotten class (``same``), or has too few other classes.

    """
    labels, retained = targets[forget], targets[retain]
    touched = labels.unique()
    others = retained[~torch.isin(retained, touched)].unique()
    if not same and len(others) <= len(touched):
        return None
    kept, chosen = [], []
    for own, other in zip(touched, touched if same else _taken(others, len(touched), draw), strict=True):
        ours, theirs = forget[labels == own], retain[retained == other]
        count = min(len(ours), len(theirs) // 2 if same else len(theirs))
        if count == 0:
            return None
        kept.append(_taken(ours, count, draw))
        chosen.append(_taken(theirs, count, draw))
    null = torch.cat(chosen)
    return NullDraw(torch.cat(kept), null, retain[~torch.isin(retain, null)])


def null_draws(
    forget: Tensor, retain: Tensor, targets: Tensor | None, count: int, seed: int
) -> dict[str, list[NullDraw]]:
    """Return ``count`` draws of each kind of null set that these sets allow.

    Args:
        forget: int64 indices of examples.
        retain: int64 indices of examples, at least 2.
        targets: int64, shape (n,): the class of each example; None where there are no classes.
        count: Draws per kind.
        seed: Seed of the draws; each kind has its own stream.

    Returns:
        ``split_half``; ``same_classes`` where retain has every forgotten class; ``other_classes`` where it has enough others.

    """
    made: dict[str, list[NullDraw]] = {}
    classes = None if targets is None else targets.cpu()
    for name in NULLS:
        draw = generator(seed, "control", name)
        for _ in range(count):
            drawn: NullDraw | None = None
            if name == "split_half":
                drawn = split_half(forget, retain, draw)
            elif classes is not None:
                drawn = class_matched(forget, retain, classes, draw, same=name == "same_classes")
            if drawn is None:
                break
            made.setdefault(name, []).append(drawn)
    return made


def compared(
    measure: str,
    of: Callable[[list[Tensor], list[Tensor]], Tensor],
    draws: dict[str, list[NullDraw]],
    layer: str,
    unit: str = "1",
) -> Iterator[Reading]:
    """Yield one reading per kind of null set: the median over draws of forget compared with ``against``.

    Its null is the same measure of the null sets.

    Args:
        measure: Its name; that of the kind is appended.
        of: Maps two lists of index sets to one value per pair, float, shape (draws,).
        draws: By kind, see :func:`null_draws`.
        layer: For the reading.
        unit: For the reading.

    """
    for name, made in draws.items():
        against = [draw.against for draw in made]
        value = of([draw.forget for draw in made], against).nanmedian().item()
        null = Null.of(of([draw.null for draw in made], against))
        size = len(made[0].null) + len(against[0])
        yield Reading(f"{measure}_{name}", "forget|retain", value, unit, layer, size, {name: null})
