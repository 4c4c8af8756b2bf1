"""Local grokking: which training examples were learned when, by three named rules, and forget sets drawn from the groups.

Source of the first rule: "Grokked Models are Better Unlearners" (arXiv 2512.03437, section on language models): an example
is locally grokked if its loss falls by less than 0.01 between a candidate epoch (20 of 100) and the end, locally ungrokked if
it falls by more than 0.5. That selects examples learned *early*; the other two rules are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.schema import Schema
from ungrok.data.answers import AnswerData
from ungrok.data.base import Data
from ungrok.data.forget import FORGET_RULES, ForgetRule, GroupDraw
from ungrok.data.history import Floats, LossHistory

Bools = NDArray[np.bool_]
RuleName = Literal["paper", "persistent", "delayed_generalisation"]
GROUPS = ("grokked", "ungrokked")


def loss_decrease(history: LossHistory, candidate: int) -> Floats:
    """Return each example's loss at the candidate step minus its loss at the end, in nats per token, shape (n,)."""
    decrease: Floats = history.own[history.at(candidate)] - history.own[-1]
    return decrease


def persistent_step(losses: Floats, steps: NDArray[np.int64], epsilon: float, delta: float) -> Floats:
    """Return the first recorded step from which each example's loss is, at every record, at most ε and within δ of its last.

    Args:
        losses: Shape (s, n).
        steps: Shape (s,).
        epsilon: ε, in nats per token.
        delta: δ, in nats per token.

    Returns:
        Shape (n,); infinite where the last loss itself is above ε, or not a number.

    """
    good = (losses <= epsilon) & (np.abs(losses - losses[-1]) <= delta)
    held = np.logical_and.accumulate(good[::-1], axis=0)[::-1]
    return np.where(held.any(axis=0), steps[held.argmax(axis=0)].astype(float), np.inf)


class LocalRule(Schema):
    """When an example counts as locally grokked or ungrokked.

    ``paper`` scores an example by how much its loss falls from the candidate epoch to the end; little means grokked.
    ``persistent`` scores it by the epoch from which its loss stays below ``epsilon`` and within ``delta`` of its last value;
    early means grokked. ``delayed_generalisation`` is nearest to what grokking means: an example is grokked if it was memorized
    (its own wording was learned for good) and generalized at ``delay`` times that step or later (its question in other words
    was answered for good). It is ungrokked if it was memorized and never generalized.

    With ``by: quantile``, the share ``quantile`` of all examples with the lowest scores is grokked, and that with the highest
    scores ungrokked. The third rule then scores by the change of the paraphrase's loss after memorization.
    """

    rule: RuleName = "paper"
    by: Literal["absolute", "quantile"] = "absolute"
    candidate: float = Field(20, ge=0, description="candidate epoch of paper and persistent")
    low: float = Field(0.01, description="paper: grokked below this loss decrease, nats per token")
    high: float = Field(0.5, description="paper: ungrokked above this loss decrease, nats per token")
    epsilon: float = Field(0.1, gt=0, description="persistent: the loss counts as learned at or below, nats per token")
    delta: float = Field(0.1, gt=0, description="persistent: how near to its last value it must stay, nats per token")
    delay: float = Field(2.0, gt=1, description="delayed_generalisation: least ratio of the two steps")
    quantile: float = Field(0.3, gt=0, le=0.5, description="share of all examples in each group, by quantiles")

    @model_validator(mode="after")
    def _ordered(self) -> Any:
        if self.low > self.high:
            raise ValueError(f"low: {self.low:g} is above high {self.high:g}")
        return self

    def keys(self) -> str:
        """Return the keys that decide how many examples a group holds."""
        if self.by == "quantile":
            return "quantile"
        return {
            "paper": "candidate, low, high or by: quantile",
            "persistent": "candidate, epsilon, delta or by: quantile",
            "delayed_generalisation": "epsilon, delta, delay or by: quantile",
        }[self.rule]

    def scores(self, history: LossHistory) -> Floats:
        """Return each example's score, low for grokked; NaN where the rule cannot judge it. Shape (n,)."""
        if self.rule == "paper":
            return loss_decrease(history, self._candidate(history))
        learned = persistent_step(history.own, history.steps, self.epsilon, self.delta)
        if self.rule == "persistent":
            return learned / history.per_epoch
        rows = np.searchsorted(history.steps, np.where(np.isfinite(learned), learned, 0))
        then = np.take_along_axis(history.paraphrase, rows[None], axis=0)[0]
        fall: Floats = history.paraphrase[-1] - then
        return np.where(np.isfinite(learned), fall, np.nan)

    def groups(self, history: LossHistory) -> dict[str, Bools]:
        """Return, for ``grokked`` and ``ungrokked``, which examples belong to it, bool of shape (n,)."""
        scores = self.scores(history)
        if self.by == "quantile":
            return self._by_quantile(scores)
        if self.rule == "paper":
            return {"grokked": scores < self.low, "ungrokked": scores > self.high}
        if self.rule == "persistent":
            return {"grokked": scores <= self.candidate, "ungrokked": scores > self.candidate}
        learned = persistent_step(history.own, history.steps, self.epsilon, self.delta)
        answered = persistent_step(history.paraphrase, history.steps, self.epsilon, self.delta)
        there = np.isfinite(learned) & ~np.isnan(history.paraphrase[-1])
        later = answered >= self.delay * np.maximum(learned, 1)
        return {"grokked": there & np.isfinite(answered) & later, "ungrokked": there & np.isinf(answered)}

    def check(self, examples: int, epochs: float, size: int) -> None:
        """Raise RecipeError if it is clear before training that the rule cannot give groups of ``size`` examples.

        Args:
            examples: Of the training set.
            epochs: Length of the training.
            size: Examples to forget.

        """
        if self.rule == "paper" and self.candidate >= epochs:
            raise RecipeError(
                f"using.candidate: epoch {self.candidate:g} is not before the end of the training, epoch {epochs:g}"
            )
        most = min(round(self.quantile * examples), examples // 2) if self.by == "quantile" else examples
        if size > most:
            raise RecipeError(f"{size} examples asked of a group of {most}; change size, or using.{self.keys()}")

    def _candidate(self, history: LossHistory) -> int:
        step = round(self.candidate * history.per_epoch)
        if step >= history.steps[-1]:
            raise RecipeError(
                f"using.candidate: epoch {self.candidate:g} is not before the end of the trajectory, epoch "
                f"{history.steps[-1] / history.per_epoch:g}"
            )
        return step

    def _by_quantile(self, scores: Floats) -> dict[str, Bools]:
        judged = np.flatnonzero(~np.isnan(scores))
        judged = np.random.default_rng(0).permutation(judged)  # else ties would follow the order of the authors
        count = min(round(self.quantile * len(scores)), len(judged) // 2)
        order = judged[np.argsort(scores[judged], kind="stable")]
        low, high = order[:count], order[len(order) - count :]
        groups = {name: np.zeros(len(scores), dtype=bool) for name in GROUPS}
        if count:
            # A score that occurs in both groups separates nothing, and what was never learned (inf) is not grokked.
            groups["grokked"][low[np.isfinite(scores[low]) & (scores[low] < scores[high[0]])]] = True
            groups["ungrokked"][high[scores[high] > scores[low[-1]]]] = True
        return groups


@dataclass(frozen=True)
class Difficulty:
    """What could make an example hard, apart from when it was learned; shape (n,) each.

    Args:
        question_length: Characters.
        answer_length: Characters.
        base_loss: Loss before the first update, nats per token.

    """

    question_length: Floats
    answer_length: Floats
    base_loss: Floats

    def table(self) -> Floats:
        """Return the three as columns in units of their standard deviations, shape (n, 3)."""
        columns = np.stack([self.question_length, self.answer_length, self.base_loss], axis=1)
        spread = columns.std(axis=0)
        return columns / np.where(spread > 0, spread, 1.0)


def difficulty(data: AnswerData) -> Difficulty:
    """Return the difficulty of the train examples; the trajectory's first record gives the base model's loss."""
    assert data.history is not None
    lengths = np.array([[len(row["question"]), len(row["answer"])] for row in data.rows], dtype=float)
    return Difficulty(lengths[:, 0], lengths[:, 1], data.history.own[0])


def matched_pairs(
    hard: Difficulty, left: Bools, right: Bools, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ``size`` examples of each group, chosen in pairs whose difficulties are most alike.

    Of all ways to pair ``size`` examples of one group with as many of the other, the one with the least sum of squared
    distances between standardized difficulties (the k-cardinality assignment).
    """
    from scipy.optimize import linear_sum_assignment

    a, b, table = np.flatnonzero(left), np.flatnonzero(right), hard.table()
    cost = ((table[a][:, None] - table[b][None]) ** 2).sum(axis=2)
    # Dummy partners take, at no cost, the examples that stay without a pair: on each side as many as the other leaves over.
    padded = np.zeros((len(a) + len(b) - size, len(b) + len(a) - size))
    padded[: len(a), : len(b)] = cost
    padded[len(a) :, len(b) :] = cost.sum() + 1
    rows, columns = linear_sum_assignment(padded)
    paired = (rows < len(a)) & (columns < len(b))
    return np.sort(a[rows[paired]]), np.sort(b[columns[paired]])


@FORGET_RULES.register
class LocalGrokking(ForgetRule):
    """Examples of one group of local grokking, drawn at random or matched for difficulty with the other group.

    Which examples form the groups depends on the trajectory, so every seed of a study has its own.
    """

    kind: Literal["local_grokking"] = "local_grokking"
    from_trajectory: ClassVar[bool] = True
    group: Literal["grokked", "ungrokked"] = "grokked"
    size: int = Field(ge=1, description="examples to forget")
    matched: bool = Field(False, description="draw both groups alike in question length, answer length and base loss")
    using: LocalRule = LocalRule()

    @property
    def drawn(self) -> bool:
        """Whether examples are drawn from the group; those that are matched for difficulty are not."""
        return not self.matched

    @property
    def single(self) -> bool:
        """Whether both groups are matched: the pairs that are most alike can be chosen once."""
        return self.matched

    def default_label(self) -> str:
        """Return for instance ``grokked-20``."""
        return f"{self.group}-{self.size}{'-matched' if self.matched else ''}"

    def group_draw(self) -> GroupDraw:
        """Return the rule of the groups, and whether both are matched."""
        how = f"rule {self.using.rule}, {self.using.by}{', matched for difficulty' if self.matched else ''}"
        return GroupDraw(how, self.size, self.group, GROUPS)

    def choose(self, data: Data, draw: torch.Generator) -> Tensor:
        """Return the drawn indices.

        Raises:
            RecipeError: If the group holds fewer examples than are to be forgotten.
            NotApplicable: If the data are not question-answer pairs.

        """
        pairs = data.pairs()
        groups = eligible(pairs, self.using)
        sizes = {name: int(mask.sum()) for name, mask in groups.items()}
        short = [name for name in (GROUPS if self.matched else (self.group,)) if sizes[name] < self.size]
        if short:
            raise RecipeError(
                f"forget split {self.label!r}: {self.size} examples asked, but of {len(data.train)} the rule {self.using.rule!r} "
                f"({self.using.by}) finds {sizes['grokked']} grokked and {sizes['ungrokked']} ungrokked; change size, or using."
                f"{self.using.keys()}"
            )
        if self.matched:
            both = matched_pairs(difficulty(pairs), groups["grokked"], groups["ungrokked"], self.size)
            return torch.from_numpy(both[GROUPS.index(self.group)])
        members = torch.from_numpy(np.flatnonzero(groups[self.group]))
        return members[torch.randperm(len(members), generator=draw)[: self.size]]

    def choose_next(self, data: Data, draw: torch.Generator, left: Tensor) -> Tensor:
        """Return drawn indices of the group that no earlier request has forgotten.

        Raises:
            NotApplicable: If there are fewer than are to be forgotten.
            RecipeError: If both groups are matched.

        """
        if self.single:
            return super().choose_next(data, draw, left)
        members = left[torch.from_numpy(eligible(data.pairs(), self.using)[self.group])[left]]
        if len(members) < self.size:
            raise NotApplicable(
                f"requests: forget split {self.label!r} is asked for {self.size} more, and earlier requests leave {len(members)} of the group; "
                "lower requests or size"
            )
        return members[torch.randperm(len(members), generator=draw)[: self.size]]


def eligible(data: AnswerData, rule: LocalRule) -> dict[str, Bools]:
    """Return the groups without examples whose question stands in several rows: forgetting one would contradict another."""
    assert data.history is not None
    alone = data.alone().numpy()
    return {name: mask & alone for name, mask in rule.groups(data.history).items()}


@FORGET_RULES.register
class LastAuthors(ForgetRule):
    """The last share of the training examples: TOFU's forget01, forget05 and forget10 with 0.01, 0.05 and 0.1."""

    kind: Literal["last"] = "last"
    fraction: float = Field(0.1, gt=0, lt=1, description="share of the training set")

    @property
    def drawn(self) -> bool:
        """False: the last ones are chosen."""
        return False

    def default_label(self) -> str:
        """Return for instance ``last-0.1``."""
        return f"last-{self.fraction:g}"

    def choose(self, data: Data, draw: torch.Generator) -> Tensor:
        """Return the last indices."""
        return self.choose_next(data, draw, torch.arange(len(data.train)))

    def choose_next(self, data: Data, draw: torch.Generator, left: Tensor) -> Tensor:  # noqa: ARG002
        """Return the last of the indices that are left, as many as the first request has."""
        return left[-max(1, round(self.fraction * len(data.train))) :]
