"""Forget splits by what shadow models say of every example: how well it is memorized, and how entangled it is with the others."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data.base import Data
from ungrok.data.forget import FORGET_RULES, ForgetRule

THIRDS = ("low", "middle", "high")


class RankedRule(ForgetRule):
    """Examples of one third of the training set, ordered by a number that shadow models give each of them."""

    from_trajectory: ClassVar[bool] = True
    from_shadows: ClassVar[bool] = True

    third: Literal["low", "middle", "high"] = "high"
    size: int | None = Field(None, ge=1, description="examples that are drawn from the third; all of it when null")

    @property
    def drawn(self) -> bool:
        """Whether the third is drawn from."""
        return self.size is not None

    def default_label(self) -> str:
        """Return for instance ``memorization-high-20``."""
        return f"{self.kind}-{self.third}" + ("" if self.size is None else f"-{self.size}")

    @abstractmethod
    def values(self, data: Data) -> Tensor:
        """Return the number of each training example, float64, NaN where it is not known."""

    def choose(self, data: Data, draw: torch.Generator) -> Tensor:
        """Return drawn members of the third.

        Raises:
            NotApplicable: If the data have no such numbers.
            RecipeError: If the third has too few members.

        """
        numbers = self.values(data).numpy()
        known = np.flatnonzero(~np.isnan(numbers))
        ordered = known[np.argsort(numbers[known], kind="stable")]
        members = torch.from_numpy(np.array_split(ordered, 3)[THIRDS.index(self.third)])
        if self.size is None:
            return members
        if self.size > len(members):
            raise RecipeError(f"forget.size: {self.size} asked of {len(members)} examples of {self.third} {self.kind}")
        return members[torch.randperm(len(members), generator=draw)[: self.size]]

    def _of(self, data: Data) -> Tensor:
        """Return the numbers that shadow models gave of this rule's kind."""
        if self.kind not in data.ranked:
            raise NotApplicable(f"forget: kind {self.kind!r} is read from shadow models; give the recipe a block audit")
        return data.ranked[self.kind]


@FORGET_RULES.register
class ByMemorization(RankedRule):
    """By memorization (Feldman, arXiv 1906.05271): correctness over shadow models that held an example minus that over the others.

    Forget sets of low, middle and high memorization are those of RUM (Zhao et al., arXiv 2406.01257).
    """

    kind: Literal["memorization"] = "memorization"

    def values(self, data: Data) -> Tensor:
        """Return the memorization of each example, between -1 and 1."""
        return self._of(data)


@FORGET_RULES.register
class ByEntanglement(RankedRule):
    """By the distance of an example's logits, averaged over shadow models, from their mean over the training set: high is near to it.

    RUM (Zhao et al., arXiv 2406.01257) orders examples so in the space of features, of which shadow models keep none.
    """

    kind: Literal["entanglement"] = "entanglement"

    def values(self, data: Data) -> Tensor:
        """Return minus the distance of each example."""
        return self._of(data)
