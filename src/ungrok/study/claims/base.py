"""What a claim is, and its evidence: the paths of one method from both sides of a comparison."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd

from ungrok.core.registry import Registry
from ungrok.core.schema import Schema
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At, Doses, Effect, Target
from ungrok.study.recipe_blocks import Claims
from ungrok.study.statistics import Estimate, bounded_differences
from ungrok.study.track import Row, Track

Pairs = list[tuple[Track, Track]]
"""The paths of both sides, left first, one pair per seed."""

Places = Sequence[tuple[Row | None, Row | None]]
"""A row of either side, left first, one pair per seed; None where a path has no such row."""

Value = float | None
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Evidence:
    """The paths of one method from both sides of a comparison.

    Args:
        pairs: The paths, for the seeds that have both; at least one pair.
        method: Label of the method.
        doses: Where its paths end and where doses are matched.
        claims: The recipe's block.
        from_scratch: Whether the method starts from fresh weights, so that the dose at which it reaches a target tells nothing about the stage.

    """

    pairs: Pairs
    method: str
    doses: Doses
    claims: Claims
    from_scratch: bool = False

    @property
    def one_shot(self) -> bool:
        """Whether the method's dose is a strength."""
        return self.pairs[0][0].one_shot

    @property
    def matched(self) -> At:
        """The place at the matched dose."""
        return At.matched(self.doses.matched, one_shot=self.one_shot)

    @cached_property
    def at_dose(self) -> list[tuple[Row, Row]]:
        """The rows at the matched dose."""
        dose = self.doses.matched
        return [(left.at_dose(dose), right.at_dose(dose)) for left, right in self.pairs]

    def usable(self, target: Target) -> tuple[Pairs, tuple[Note, ...]]:
        """Return the pairs that can be compared at a target, and notes on the others; pairs that never reach it stay."""
        if self.from_scratch:
            return [], (Note("fresh_weights"),)
        pairs, total = self.pairs, len(self.pairs)
        states = [(left.status(target), right.status(target)) for left, right in pairs]
        usable = [pair for pair, state in zip(pairs, states, strict=True) if not {"nothing", "undefined"} & set(state)]
        notes = []
        for state, code in (("nothing", "nothing_to_forget"), ("undefined", "no_oracle")):
            count = sum(state in both for both in states)
            if count:
                notes.append(Note(code, {"count": count, "pairs": total}))
        before, after = (sum(state[side] == "censored" for state in states) for side in (0, 1))
        if before or after:
            notes.append(Note("not_reached", {"before": before, "after": after, "pairs": total}))
        return usable, tuple(notes)

    def started(self, name: str) -> Note:
        """Return the note that says from which mean values of a metric both sides started."""
        left, right = (mean([track.start for track in side], name) for side in zip(*self.pairs, strict=True))
        return Note("started", {"before": left, "after": right})


@dataclass(frozen=True)
class Finding:
    """An effect that awaits its verdict.

    Args:
        claim: What is claimed.
        method: Label of the method.
        metric: What was measured.
        at: Where on the path.
        effect: The difference, for people.
        estimate: The same with its p-value; None where none can be given, for the reason in ``notes``.
        margin: The largest effect that does not matter, in the unit of the effect.
        notes: What a reader should know.
        n: Number of pairs that it comes from.

    """

    claim: Claim
    method: str
    metric: str
    at: At
    effect: Effect
    estimate: Estimate | None
    margin: float
    notes: tuple[Note, ...]
    n: int


class Claim(Schema):
    """A falsifiable statement about two sides of a comparison. Subclasses say the following and yield findings.

    Every effect is oriented so that a positive value agrees with the paper (arXiv 2512.03437).
    """

    kind: str

    statement: ClassVar[str]
    """The claim as a sentence; ``{later}`` stands for what the later side is called."""

    advantage: ClassVar[str]
    """What the claim says of the later side, as the rest of a sentence, for instance ``needs fewer updates``."""

    title: ClassVar[str]
    """The claim as prose names it."""

    headline: ClassVar[tuple[str, ...]]
    """The columns that stand in the headline."""

    at_target: ClassVar[bool] = False
    """Whether the headline is read where the primary target is reached; otherwise at the matched dose."""

    family: ClassVar[str | None] = None
    """The kind of model that the claim is about, ``classifier`` or ``language``; None for both."""

    rank: ClassVar[int] = 100
    """Claims stand in reports in this order, equal ranks by name."""

    @abstractmethod
    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield an effect per metric and place, for one method; nothing where the paths lack what is measured."""

    def without_pairs(self, method: str) -> Iterator[Finding]:  # noqa: ARG002
        """Yield what is said of a method of which no seed has both sides; nothing where another claim says it."""
        yield from ()

    def sentence(self, later: str = "later stage") -> str:
        """Return the statement, the later side called as given."""
        return self.statement.format(later=later)

    def column(self, metric: str) -> str:
        """Return the column under which a metric stands: metrics of one column are judged together."""
        return metric

    def head(self, column: str) -> str:
        """Return what the head of a column says."""
        return column

    def in_headline(self, metric: str, at: At, primary: Target) -> bool:
        """Return whether a verdict on a metric read at some place belongs to the headline; ``primary`` is the main target."""
        if self.column(metric) not in self.headline:
            return False
        return at.kind == "any" or at == At.target(primary) if self.at_target else at.kind == "dose"


CLAIMS: Registry[Claim] = Registry("claim", "ungrok.claims", ("ungrok.study.claims", "CLAIMS.register"), Claim)


def every_claim() -> list[Claim]:
    """Return an instance of each claim, plug-ins included, in the order of reports."""
    classes = [CLAIMS.get(name) for name in CLAIMS.names()]
    return [cls.model_validate({}) for cls in sorted(classes, key=lambda cls: cls.rank)]


def number(row: Row | None, name: str) -> Value:
    """Return a value of a row; None for a row that is not there and for a value that is missing."""
    value = None if row is None else row[name]
    return None if value is None or pd.isna(value) else float(value)


def mean(rows: Sequence[Row], name: str) -> float:
    """Return the mean of a metric, a missing value counting as 0."""
    return float(np.mean([number(row, name) or 0.0 for row in rows]))


def bounded(
    values: Sequence[tuple[Value, Value]], unknown: Sequence[tuple[Bounds, Bounds]], alpha: float
) -> Estimate | None:
    """Estimate a mean paired difference, left minus right, where some values are only bounded.

    Args:
        values: One pair per seed; None where a target was not reached or the model has diverged.
        unknown: The bounds of each value, used where it is None.
        alpha: One minus the level of the interval.

    Returns:
        None if no pair is known on both sides.

    """
    if not any(None not in pair for pair in values):
        return None
    bounds = [
        [limits if value is None else (value, value) for value, limits in zip(pair, limit, strict=True)]
        for pair, limit in zip(values, unknown, strict=True)
    ]
    (a_low, a_high), (b_low, b_high) = np.array(bounds, dtype=float).transpose(1, 2, 0)
    return bounded_differences(a_low, a_high, b_low, b_high, alpha)


def bounded_shares(values: Sequence[tuple[Value, Value]], alpha: float) -> Estimate | None:
    """Estimate as :func:`bounded` values that lie in [0, 1], for instance accuracies."""
    return bounded(values, [((0, 1), (0, 1))] * len(values), alpha)
