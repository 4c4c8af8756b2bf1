"""Randomized exposure: two groups of training examples that a seed assigns, and the forget rule that draws from one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.seeds import generator
from ungrok.data.base import Data
from ungrok.data.forget import FORGET_RULES, ForgetRule, GroupDraw

SHOWN = ("late", "early")
"""The groups, in the order in which comparisons have them: what was learned later stands first."""


@dataclass(frozen=True)
class Exposed:
    """Which training examples are shown from the start and which only later on; the i-th of both are of one class or author.

    Args:
        early: int64 of shape (m,): shown from the start.
        late: int64 of shape (m,), none of them early: not shown before some step.

    """

    early: Tensor
    late: Tensor

    @property
    def swapped(self) -> Exposed:
        """The same groups with their roles swapped."""
        return Exposed(self.late, self.early)

    def common(self, examples: int) -> Tensor:
        """Return the sorted indices, int64, of the examples that are in neither group.

        Args:
            examples: Of the training set.

        """
        free = torch.ones(examples, dtype=torch.bool)
        free[self.early] = free[self.late] = False
        return free.nonzero().squeeze(1)


def assigned(strata: Tensor, share: float, seed: int, alone: Tensor) -> Exposed:
    """Assign examples to two groups of equal size within every stratum.

    Every example has a key that depends on the seed and on its index; within a stratum the examples with the smallest keys are early and
    those with the next ones late. So the groups are alike in expectation in all that was there before training.

    Args:
        strata: int64 of shape (n,): the class or the author of each example.
        share: Share of each stratum that either group gets, rounded down; at most a half.
        seed: The only source of randomness.
        alone: bool of shape (n,): what may be in a group.

    """
    keys = torch.randperm(len(strata), generator=generator(seed, "exposure"))
    early, late = [], []
    for stratum in strata.unique():
        members = ((strata == stratum) & alone).nonzero().squeeze(1)
        members = members[keys[members].argsort()]
        count = int(share * len(members) + 1e-9)
        early.append(members[:count])
        late.append(members[count : 2 * count])
    return Exposed(torch.cat(early), torch.cat(late))


@FORGET_RULES.register
class ExposedGroup(ForgetRule):
    """Training examples drawn from a group of randomized exposure: from those that were shown early, or from those that were shown late.

    The same seed draws the same places of either group, so that both sets hold as many examples of each class or author, and sets of
    swapped roles hold the same examples.
    """

    kind: Literal["exposed"] = "exposed"
    group: Literal["early", "late"]
    size: int = Field(ge=1, description="examples to forget")

    def default_label(self) -> str:
        """Return for instance ``early-20``."""
        return f"{self.group}-{self.size}"

    def group_draw(self) -> GroupDraw:
        """Return what both groups have in common."""
        return GroupDraw("randomized exposure", self.size, self.group, SHOWN)

    def choose(self, data: Data, draw: torch.Generator) -> Tensor:
        """Return the drawn indices.

        Raises:
            NotApplicable: If the training shows all examples alike.
            RecipeError: If the group holds fewer examples than are to be forgotten.

        """
        return self.choose_next(data, draw, torch.arange(len(data.train)))

    def choose_next(self, data: Data, draw: torch.Generator, left: Tensor) -> Tensor:
        """Return drawn indices of the group that no earlier request has forgotten; errors are those of :meth:`choose`."""
        if data.exposed is None:
            raise NotApplicable(f"forget split {self.label!r}: kind exposed needs trajectory.exposure")
        members: Tensor = getattr(data.exposed, self.group)
        members = members[torch.isin(members, left)]
        if self.size > len(members):
            raise RecipeError(
                f"forget split {self.label!r}: {self.size} examples asked of {len(members)} in the group; lower size, or raise "
                "trajectory.exposure.share"
            )
        return members[torch.randperm(len(members), generator=draw)[: self.size]]
