"""What a shadow model is trained on: a random half of a pool, in which the forget sets are in or out whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ungrok.audits.shadows import held_by, holds
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.schema import Schema
from ungrok.data.base import Data
from ungrok.data.forget import ForgetSplit
from ungrok.study.jobs.blocks import Forget


class Held(Schema):
    """Which part of a problem's training examples one shadow model is trained on."""

    shadow: int
    """Counted from 0."""
    seed: int
    """Of all shadows of a study."""
    size: int
    """Number of examples that each holds; the first so many of the pool are the recipe's own training set."""
    forget: list[Forget]
    """The forget sets, drawn from the recipe's own training set one after another: each from what those before it leave."""

    def spec(self) -> dict[str, Any]:
        """Return the content as plain JSON types, rules without their labels."""
        return {**self.to_dict(), "forget": [block.spec() for block in self.forget]}

    def of(self, pool: Data) -> Data:
        """Return the data of the shadow: the same validation and test examples, and its part of the training examples."""
        own = self.examples(pool)
        place = torch.full((len(pool.train),), -1).index_copy(0, own, torch.arange(len(own)))
        mislabeled = place[pool.mislabeled]
        return replace(pool, train=pool.train.of(own), mislabeled=mislabeled[mislabeled >= 0])

    def examples(self, pool: Data) -> Tensor:
        """Return which examples of the pool the shadow is trained on, int64, increasing."""
        drawn = drawn_sets(pool, self.size, self.forget)
        sets = [part.numpy() for part in drawn.sets]
        return torch.from_numpy(held_by(self.shadow, len(pool.train), self.size, sets, drawn.barred.numpy(), self.seed))

    def split(self, pool: Data, asked: Forget) -> ForgetSplit:
        """Return a forget set, which the shadow must hold, and the rest of what it is trained on, as places in its training set.

        Args:
            pool: All data.
            asked: One of ``forget``.

        """
        own, number = self.examples(pool), self.forget.index(asked)
        assert holds(self.shadow, len(self.forget), self.seed)[number]
        gone = drawn_sets(pool, self.size, self.forget).sets[number]
        inside = torch.isin(own, gone)
        touched = pool.train.targets.cpu()[gone].unique().tolist()
        return ForgetSplit(inside.nonzero()[:, 0], (~inside).nonzero()[:, 0], tuple(touched))


@dataclass(frozen=True)
class Drawn:
    """The forget sets of a study's shadow models.

    Args:
        sets: Examples of the pool, int64, increasing; none stands in two.
        barred: Examples that no shadow holds: further ones of a class of which a forget set holds all that the recipe's own training set
            has. A model that is to know nothing of a class must not see those either.

    """

    sets: list[Tensor]
    barred: Tensor


def drawn_sets(pool: Data, size: int, asked: list[Forget]) -> Drawn:
    """Return the forget sets that are asked about.

    Args:
        pool: All data; the first ``size`` training examples are the recipe's own.
        size: Of the recipe's own training set.
        asked: Their rules and seeds; each is drawn from what the earlier ones leave.

    Raises:
        RecipeError: If a rule finds nothing to choose from.

    """
    left, targets = torch.arange(size), pool.train.targets.cpu()
    sets, barred = list[Tensor](), list[Tensor]()
    for block in asked:
        corrupted = torch.isin(left, pool.mislabeled).nonzero()[:, 0]
        data = replace(pool, train=pool.train.of(left), mislabeled=corrupted)
        try:
            chosen = block.rule.split(data, block.seed, block.before).forget
        except (NotApplicable, RecipeError) as error:
            raise RecipeError(f"audit.forget: {block.rule.label!r} after {len(sets)} other sets: {error}") from None
        gone = left[chosen]
        left = left[~torch.isin(left, gone)]
        emptied = torch.tensor(sorted({*targets[gone].tolist()} - {*targets[left].tolist()}), dtype=torch.int64)
        beyond = torch.isin(targets, emptied)
        beyond[:size] = False
        sets.append(gone)
        barred.append(beyond.nonzero()[:, 0])
    return Drawn(sets, torch.cat([torch.zeros(0, dtype=torch.int64), *barred]).unique())
