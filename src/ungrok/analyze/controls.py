"""What forget against retain is compared with: sets of the same sizes in which there is nothing to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ungrok.analyze.base import Null, Reading
from ungrok.core.seeds import generator

CONTROLS = ("split_half", "same_classes", "other_classes")
"""Names of the controls that :func:`controls` draws."""


@dataclass(frozen=True)
class Draw:
    """Three sets of examples: ``null`` is to ``rest`` what ``forget`` is to ``rest``, but drawn from the retain set.

    All are int64 indices; ``forget`` and ``null`` are of one size.
    """

    forget: Tensor
    null: Tensor
    rest: Tensor


def _taken(members: Tensor, count: int, draw: torch.Generator) -> Tensor:
    return members[torch.randperm(len(members), generator=draw)[:count]]


def permuted(forget: Tensor, retain: Tensor, draw: torch.Generator) -> Draw:
    """Shuffle membership, sizes kept; here ``rest`` is what the shuffle left over, not a part of retain."""
    pool = _taken(torch.cat([forget, retain]), len(forget) + len(retain), draw)
    return Draw(forget, pool[: len(forget)], pool[len(forget) :])


def split_half(forget: Tensor, retain: Tensor, draw: torch.Generator) -> Draw:
    """Take as many retain examples as there are to forget, but at most half of them, from the retain set."""
    order = _taken(retain, len(retain), draw)
    count = min(len(forget), len(retain) // 2)
    return Draw(_taken(forget, count, draw), order[:count], order[count:])


def class_matched(forget: Tensor, retain: Tensor, targets: Tensor, draw: torch.Generator, *, same: bool) -> Draw | None:
    """Take retain examples with the class composition of the forget set.

    Args:
        forget: Indices into ``targets``.
        retain: Indices into ``targets``.
        targets: int64, shape (n,).
        draw: Source of randomness.
        same: True: of each forgotten class as many as are forgotten, at most half of what the retain set has of it.
            False: each forgotten class is replaced by a random one of which nothing is forgotten, at most all of it.

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
    return Draw(torch.cat(kept), null, retain[~torch.isin(retain, null)])


def controls(forget: Tensor, retain: Tensor, targets: Tensor | None, count: int, seed: int) -> dict[str, list[Draw]]:
    """Return ``count`` draws of each control that these sets allow.

    Args:
        forget: int64 indices of examples.
        retain: int64 indices of examples, at least 2.
        targets: int64, shape (n,): the class of each example; None where there are no classes.
        count: Draws per control.
        seed: Each control has its own stream.

    Returns:
        ``split_half``; ``same_classes`` where retain has every forgotten class; ``other_classes`` where it has other ones.

    """
    made: dict[str, list[Draw]] = {}
    classes = None if targets is None else targets.cpu()
    for name in CONTROLS:
        draw = generator(seed, "control", name)
        for _ in range(count):
            one: Draw | None = None
            if name == "split_half":
                one = split_half(forget, retain, draw)
            elif classes is not None:
                one = class_matched(forget, retain, classes, draw, same=name == "same_classes")
            if one is None:
                break
            made.setdefault(name, []).append(one)
    return made


def compared(
    measure: str,
    of: Callable[[list[Tensor], list[Tensor]], Tensor],
    draws: dict[str, list[Draw]],
    layer: str,
    unit: str = "1",
) -> Iterator[Reading]:
    """Yield one reading per control: the median over draws of forget against rest; its null: the control against rest.

    Args:
        measure: Its name; the control's is appended.
        of: Maps two lists of index sets to one value per pair, float, shape (draws,).
        draws: By name of the control.
        layer: For the reading.
        unit: For the reading.

    """
    for name, made in draws.items():
        rest = [draw.rest for draw in made]
        value = of([draw.forget for draw in made], rest).nanmedian().item()
        null = Null.of(of([draw.null for draw in made], rest))
        size = len(made[0].null) + len(rest[0])
        yield Reading(f"{measure}_{name}", "forget|retain", value, unit, layer, size, {name: null})
