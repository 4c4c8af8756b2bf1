"""Forget splits: which training examples are to be forgotten, by a named rule and its own seed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.registry import Registry
from ungrok.core.schema import Schema
from ungrok.core.seeds import generator
from ungrok.data.base import Data

SMALL = 30
"""Forget sets with fewer examples get a warning: one example then moves UA by more than 0.03."""


@dataclass(frozen=True)
class ForgetSplit:
    """Disjoint, sorted int64 indices into the training split that together cover it.

    Args:
        forget: What is to be forgotten.
        retain: Everything else.
        classes: Classes with at least one forget example, sorted.
        before: What earlier requests had forgotten already, one tensor per request in their order.

    """

    forget: Tensor
    retain: Tensor
    classes: tuple[int, ...]
    before: tuple[Tensor, ...] = ()

    @property
    def requests(self) -> tuple[Tensor, ...]:
        """The sets of all requests so far, in their order."""
        return *self.before, self.forget

    @property
    def gone(self) -> Tensor:
        """All that is not retained, sorted."""
        return torch.cat(self.requests).sort().values


class GroupDraw(NamedTuple):
    """How a rule draws from one of several groups that a report sets side by side.

    Args:
        how: What makes the groups, in words.
        size: Number of examples that are drawn.
        group: The group that they are drawn from.
        groups: All groups, in the order in which a report has them.

    """

    how: str
    size: int
    group: str
    groups: tuple[str, ...]


class ForgetRule(Schema):
    """A named way to choose forget examples."""

    from_trajectory: ClassVar[bool] = False
    """Whether the rule depends on how training went, so that every seed has its own candidates."""

    from_shadows: ClassVar[bool] = False
    """Whether it depends on shadow models instead, whose trainings all seeds share."""

    of_classes: ClassVar[bool] = False
    """Whether the forget examples are chosen by their class."""

    kind: str
    name: str | None = Field(None, description="label in tables; made from the rule when null")

    @property
    def label(self) -> str:
        """The name shown in tables."""
        return self.name or self.default_label()

    def default_label(self) -> str:
        """Return a label made from the rule's own settings."""
        return self.kind

    @property
    def drawn(self) -> bool:
        """Whether another seed may choose other examples."""
        return True

    @property
    def single(self) -> bool:
        """Whether the rule knows one set only, so that a further one without any of its examples cannot be asked for."""
        return type(self).choose_next is ForgetRule.choose_next

    @property
    def empties_classes(self) -> bool:
        """Whether a split may hold every training example of a class, so that a model trained without it never sees the class."""
        return False

    def group_draw(self) -> GroupDraw | None:
        """Return how the rule draws from one of several groups; None where it knows no groups."""
        return None

    @abstractmethod
    def choose(self, data: Data, draw: torch.Generator) -> Tensor:
        """Return the int64 indices of the forget examples, in any order."""

    def choose_next(self, data: Data, draw: torch.Generator, left: Tensor) -> Tensor:
        """Return the int64 indices of a further forget set, in any order; a rule that can be asked for several has this.

        Args:
            data: All data; nothing is left out of them.
            draw: As for :meth:`choose`.
            left: Sorted int64 indices of what no earlier request has forgotten: all that may be chosen from.

        """
        del data, draw, left
        raise RecipeError(f"requests: forget split {self.label!r} knows one set only; leave that split or requests out")

    def split(self, data: Data, seed: int, before: Sequence[int] = ()) -> ForgetSplit:
        """Return forget and retain indices; all randomness comes from ``seed`` and ``before``.

        Args:
            data: All data.
            seed: Of the draw.
            before: Seeds of earlier requests, the first one first. What they drew is neither drawn again nor retained.

        Raises:
            NotApplicable: If forget or retain would be empty, or the examples cannot be forgotten on their own.

        """
        sets, retained = list[Tensor](), torch.ones(len(data.train), dtype=torch.bool)
        for each in (*before, seed):
            draw = generator(each, "forget", self.kind)
            further = self.choose_next(data, draw, retained.nonzero().squeeze(1)) if sets else self.choose(data, draw)
            if not retained[further].all():
                raise NotApplicable(
                    f"requests: forget split {self.label!r} gives again in set {len(sets) + 1} what is forgotten already"
                )
            sets.append(further.unique())
            retained[further] = False
        *earlier, forget = sets
        return self._checked(data, forget, retained.nonzero().squeeze(1), tuple(earlier))

    def _checked(self, data: Data, forget: Tensor, retain: Tensor, before: tuple[Tensor, ...]) -> ForgetSplit:
        """Return a split, unless it leaves nothing to forget or to retain."""
        if len(forget) == 0 or len(retain) == 0:
            after = f" after {len(before)} earlier request{'' if len(before) == 1 else 's'}" if before else ""
            raise NotApplicable(
                f"{'requests: ' if before else ''}forget split {self.label!r} of {len(data.train)} training examples leaves "
                f"{len(forget)} to forget and {len(retain)} to retain{after}; each needs at least one"
            )
        data.check_forget(forget, self.label)
        touched = data.train.targets.cpu()[forget].unique().tolist()
        return ForgetSplit(forget, retain, tuple(touched), before)


FORGET_RULES: Registry[ForgetRule] = Registry(
    "forget rule", "ungrok.forget_rules", ("ungrok.data", "FORGET_RULES.register"), ForgetRule
)


def _of_class(data: Data, label: int, fraction: float, draw: torch.Generator) -> Tensor:
    """Return a random ``fraction`` of one class's training indices.

    Raises:
        NotApplicable: If the class has no training examples, or so few that the fraction of them rounds to 0.

    """
    members = (data.train.targets.cpu() == label).nonzero().squeeze(1)
    if len(members) == 0:
        raise NotApplicable(
            f"forget: class {label} has no training examples, so none can be forgotten; train_size may be too small"
        )
    count = round(fraction * len(members))
    if count == 0:
        raise NotApplicable(
            f"forget.fraction: {fraction:g} of the {len(members)} training examples of class {label} rounds to 0; "
            "raise fraction or train_size"
        )
    return members[torch.randperm(len(members), generator=draw)[:count]]


def _untouched(data: Data, left: Tensor) -> Tensor:
    """Return the sorted classes, int64, of which every training example is still ``left``."""
    targets = data.train.targets.cpu()
    there, kept = (torch.bincount(part, minlength=data.classes) for part in (targets, targets[left]))
    return ((there == kept) & (there > 0)).nonzero().squeeze(1)


def _further(candidates: Tensor, count: int, label: str, draw: torch.Generator) -> list[int]:
    """Return ``count`` of the candidates for a further request, drawn and sorted.

    Raises:
        RecipeError: If there are not so many.

    """
    if count > len(candidates):
        raise RecipeError(
            f"requests: forget split {label!r} is asked for {count} more, and earlier requests leave {len(candidates)} to choose "
            "from; lower requests, or forget less at a time"
        )
    chosen: list[int] = candidates[torch.randperm(len(candidates), generator=draw)[:count]].sort().values.tolist()
    return chosen


@FORGET_RULES.register
class WholeClass(ForgetRule):
    """All training examples of one class; the retrained oracle then knows nothing of it (UA* = 0)."""

    of_classes: ClassVar[bool] = True

    kind: Literal["class"] = "class"
    label_to_forget: int | None = Field(None, ge=0, description="the class; drawn by the seed when null")

    @property
    def drawn(self) -> bool:
        """Whether the class is drawn."""
        return self.label_to_forget is None

    @property
    def single(self) -> bool:
        """Whether the class is named."""
        return self.label_to_forget is not None

    @property
    def empties_classes(self) -> bool:
        """True."""
        return True

    def choose(self, data: Data, draw: torch.Generator) -> Tensor:
        """Return the members of the class."""
        chosen = self.label_to_forget
        if chosen is None:
            chosen = int(torch.randint(data.classes, (1,), generator=draw))
        elif chosen >= data.classes:
            raise RecipeError(f"forget.label_to_forget: {chosen} is not a class; allowed: 0 to {data.classes - 1}")
        return _of_class(data, chosen, 1.0, draw)

    def choose_next(self, data: Data, draw: torch.Generator, left: Tensor) -> Tensor:
        """Return the members of a class that no earlier request has touched."""
        if self.single:
            return super().choose_next(data, draw, left)
        (chosen,) = _further(_untouched(data, left), 1, self.label, draw)
        return _of_class(data, chosen, 1.0, draw)


@FORGET_RULES.register
class SomeClasses(ForgetRule):
    """A fraction of the samples of k classes drawn by the seed; the paper's rule with k = 2."""

    of_classes: ClassVar[bool] = True

    kind: Literal["classes"] = "classes"
    classes: int = Field(2, ge=1, description="number of classes touched")
    fraction: float = Field(0.5, gt=0, le=1, description="share of each touched class that is forgotten")

    @property
    def empties_classes(self) -> bool:
        """Whether the share of a class, rounded, may be all of it: half of one never is."""
        return self.fraction > 0.5

    def default_label(self) -> str:
        """Return for instance ``classes-2-0.5``."""
        return f"classes-{self.classes}-{self.fraction:g}"

    def choose(self, data: Data, draw: torch.Generator) -> Tensor:
        """Return the drawn members of the drawn classes."""
        if self.classes > data.classes:
            raise RecipeError(
                f"forget.classes: {self.classes} is more than the problem has; allowed: 1 to {data.classes}"
            )
        chosen = torch.randperm(data.classes, generator=draw)[: self.classes].sort().values
        return torch.cat([_of_class(data, int(c), self.fraction, draw) for c in chosen])

    def choose_next(self, data: Data, draw: torch.Generator, left: Tensor) -> Tensor:
        """Return drawn members of classes that no earlier request has touched."""
        chosen = _further(_untouched(data, left), self.classes, self.label, draw)
        return torch.cat([_of_class(data, c, self.fraction, draw) for c in chosen])


@FORGET_RULES.register
class AtRandom(ForgetRule):
    """Training examples drawn uniformly over all classes: a share, or an exact number."""

    kind: Literal["random"] = "random"
    fraction: float | None = Field(None, gt=0, lt=1, description="share of the training set")
    size: int | None = Field(None, ge=1, description="number of examples")

    @model_validator(mode="after")
    def _one_of(self) -> AtRandom:
        if (self.fraction is None) == (self.size is None):
            raise ValueError(f"fraction {self.fraction} and size {self.size}: give either fraction or size")
        return self

    def default_label(self) -> str:
        """Return for instance ``random-0.1``."""
        return f"random-{self.size if self.fraction is None else format(self.fraction, 'g')}"

    def choose(self, data: Data, draw: torch.Generator) -> Tensor:
        """Return the drawn indices."""
        return torch.randperm(len(data.train), generator=draw)[: self._count(data)]

    def choose_next(self, data: Data, draw: torch.Generator, left: Tensor) -> Tensor:
        """Return as many drawn indices as the first request has."""
        return torch.tensor(_further(left, self._count(data), self.label, draw), dtype=torch.int64)

    def _count(self, data: Data) -> int:
        return round(self.fraction * len(data.train)) if self.fraction is not None else self.size or 0


@FORGET_RULES.register
class Mislabeled(ForgetRule):
    """The examples whose labels the problem corrupted before training (``problem.label_noise``)."""

    kind: Literal["mislabeled"] = "mislabeled"

    @property
    def drawn(self) -> bool:
        """False: all of them are chosen."""
        return False

    def choose(self, data: Data, draw: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return the corrupted indices."""
        if len(data.mislabeled) == 0:
            raise NotApplicable("forget: kind mislabeled needs problem.label_noise above 0")
        return data.mislabeled
