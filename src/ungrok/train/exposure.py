"""Randomized exposure: which examples every update shows, so that some are learned later than others for no reason of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.schema import Schema
from ungrok.core.seeds import generator
from ungrok.data.base import Data
from ungrok.data.exposed import Exposed, assigned

STRATA = {"language": "author", "classifier": "class"}
"""By the kind of model: what examples are assigned within."""


class Assignment(Schema):
    """Which groups a training has: the seed that assigns them, and whether their roles are swapped."""

    seed: int
    swapped: bool


class Exposure(Schema):
    """A schedule in which a late group of training examples is first shown after a share of the steps, and then more often.

    All examples have been shown equally often by the time at which the late group has caught up, at the latest an epoch before the end;
    from then on all are shown alike. The early group is shown at an even pace as far as examples of neither group can fill what is left.
    """

    kind: Literal["staggered"] = "staggered"
    late: float = Field(0.4, gt=0, lt=1, description="share of the steps before which the late group is not shown")
    share: float = Field(0.5, gt=0, le=0.5, description="share of the examples in either group; the rest is in neither")
    within: Literal["author", "class"] = Field(
        description="what examples are assigned within: author for texts, class for others"
    )
    swap: bool = Field(True, description="whether seeds 2k and 2k + 1 share the groups, with their roles swapped")
    caught_up: float = Field(1.0, gt=0, le=1, description="share of the steps after which all examples are shown alike")

    @model_validator(mode="after")
    def _leaves_time(self) -> Exposure:
        if self.share > 1 - self.late / self.caught_up + 1e-9:
            raise ValueError(
                f"late: {self.late:g} of the steps leaves the late group, a share {self.share:g} of the examples, too few to catch up "
                f"by {self.caught_up:g}; lower late or share"
            )
        return self

    def check(self, data: Data) -> None:
        """Raise RecipeError where examples of these data are not assigned within what the recipe says."""
        wanted = STRATA[data.family]
        if self.within != wanted:
            raise RecipeError(
                f"trajectory.exposure.within: {self.within!r} does not fit this problem; allowed: {wanted}"
            )

    def exposing(self, data: Data, assignment: Assignment) -> Data:
        """Return data that know which of their training examples are early and which are late."""
        self.check(data)
        groups = assigned(data.train.targets.cpu(), self.share, assignment.seed, data.alone())
        return replace(data, exposed=groups.swapped if assignment.swapped else groups)

    def order(self, data: Data, steps: int, batch: int, seed: int, retain: Tensor | None = None) -> Tensor:
        """Return which training examples every update shows.

        Args:
            data: What :meth:`exposing` returned.
            steps: Updates of the training.
            batch: Examples per update.
            seed: Of the order in which the members of a group follow each other.
            retain: int64: what is left after a forget split; all when None. See :func:`without`.

        Returns:
            int64 of shape (steps, batch), indices into the training examples, or into ``retain``.

        Raises:
            RecipeError: If the late group cannot catch up.

        """
        assert data.exposed is not None
        examples = len(data.train)
        first, even = self.phases(steps, -(-examples // batch))
        order = timetable(data.exposed, examples, steps, batch, seed, first=first, even=even)
        return order if retain is None else without(order, data.exposed, retain, examples, seed, first=first)

    def phases(self, steps: int, per_epoch: int) -> tuple[int, int]:
        """Return the step before which the late group is not shown, and the one from which on all examples are shown alike.

        Args:
            steps: Updates of the training.
            per_epoch: Updates of an epoch.

        """
        return round(self.late * steps), min(round(self.caught_up * steps), steps - per_epoch)


def timetable(groups: Exposed, examples: int, steps: int, batch: int, seed: int, *, first: int, even: int) -> Tensor:
    """Return which examples every update shows: a pure function of its arguments.

    Members of a group follow each other in whole permutations, so that the numbers of times that the examples of both groups have been
    shown at the end differ by at most one; an incomplete round comes first, and each of them is in the last epoch. Swapped groups have the
    same timetable with every early example in the place of its late one, and the other way around.

    Args:
        groups: The early and the late examples.
        examples: Of the training set, n.
        steps: Updates.
        batch: Examples per update.
        seed: Of the order within the groups.
        first: The step before which the late group is not shown.
        even: The step from which on all are shown alike, at least an epoch before the last.

    Returns:
        int64 of shape (steps, batch).

    Raises:
        RecipeError: If the late group cannot catch up.

    """
    table = quotas(len(groups.early), examples, batch, first, even, steps)
    draw = generator(seed, "exposure")
    members = (groups.early, groups.late, groups.common(examples))
    queues = [_rounds(own, sum(counts), draw) for own, counts in zip(members, table, strict=True)]
    parts = []
    for phase in range(3):
        before, now = ([sum(counts[:end]) for counts in table] for end in (phase, phase + 1))
        shown = [queue[start:stop] for queue, start, stop in zip(queues, before, now, strict=True)]
        evenly = [(torch.arange(len(own), dtype=torch.float64) + 0.5) / max(len(own), 1) for own in shown]
        parts.append(torch.cat(shown)[torch.cat(evenly).argsort(stable=True)])
    return torch.cat(parts).view(steps, batch)


def quotas(members: int, examples: int, batch: int, first: int, even: int, steps: int) -> list[list[int]]:
    """Return how often the early, the late and the common examples are shown in each of three phases, whole groups counted.

    Args:
        members: Examples in either group.
        examples: Of the training set.
        batch: Examples per update.
        first: Step at which the first phase ends, in which the late group is not shown.
        even: Step at which the second ends, in which it catches up.
        steps: Step at which the third ends, in which all are shown alike.

    Raises:
        RecipeError: If the second phase is too short.

    """
    slots = [first * batch, (even - first) * batch, (steps - even) * batch]
    common = examples - 2 * members
    middle, end = (members * step * batch // examples for step in (even, steps))
    if middle > slots[1] or even <= first:
        raise RecipeError(
            f"trajectory.exposure.late: from step {first} on the late group of {members} examples cannot catch up by step {even}, with "
            f"batches of {batch}; lower late or share, or raise steps"
        )
    late = [0, middle, end - middle]
    even_pace = members * first * batch // examples
    start = max(even_pace, slots[0] - (even * batch - 2 * middle))
    early = [start, middle - start, end - middle]
    if not common:  # what rounding leaves goes to the early group
        early = [slot - own for slot, own in zip(slots, late, strict=True)]
    return [early, late, [slot - a - b for slot, a, b in zip(slots, early, late, strict=True)]]


def without(order: Tensor, groups: Exposed, retain: Tensor, examples: int, seed: int, *, first: int) -> Tensor:
    """Return a timetable without some examples: all others keep their places, and take turns in those that are left.

    Args:
        order: What :func:`timetable` returned.
        groups: The early and the late examples.
        retain: int64, sorted: the examples that are left.
        examples: Of the training set.
        seed: Of the turns.
        first: The step before which the late group is not shown.

    Returns:
        int64 of the shape of ``order``, indices into ``retain``.

    Raises:
        NotApplicable: If nothing is left that may be shown before the late group is.

    """
    places = torch.full((examples,), -1)
    places[retain] = torch.arange(len(retain))
    filled, draw = places[order.flatten()], generator(seed, "exposure", "turns")
    before = torch.arange(len(filled)) < first * order.shape[1]
    at_once = (~torch.isin(retain, groups.late)).nonzero().squeeze(1)
    for slots, allowed in ((before, at_once), (~before, torch.arange(len(retain)))):
        left = (slots & (filled < 0)).nonzero().squeeze(1)
        if len(left) and not len(allowed):
            raise NotApplicable(
                "forget: without the forget data nothing is left to be shown before trajectory.exposure.late"
            )
        filled[left] = _rounds(allowed, len(left), draw)
    return filled.view_as(order)


def _rounds(members: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Return so many of the members in turn: first some of them, drawn, then whole permutations."""
    if not count:
        return members[:0]
    whole, rest = divmod(count, len(members))
    turns = [torch.randperm(len(members), generator=draw) for _ in range(whole + 1)]
    return members[torch.cat([turns[0][:rest], *turns[1:]])]
