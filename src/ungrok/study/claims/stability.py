"""Stability: how much the outcome depends on the seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, mean, number
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import Effect
from ungrok.study.statistics import FEWEST_FOR_SPREAD, Estimate, spread_ratio


@CLAIMS.register
class Stability(Claim):
    """A smaller standard deviation over seeds at the matched dose, as a log ratio."""

    kind: Literal["stability"] = "stability"
    statement: ClassVar[str] = "At the same dose, UA, RA and TA spread less across seeds."
    advantage: ClassVar[str] = "spreads less over seeds"
    title: ClassVar[str] = "stability"
    headline: ClassVar[tuple[str, ...]] = ("UA", "RA", "TA")
    rank: ClassVar[int] = 2

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per accuracy."""
        before, after = (mean(side, "UA") for side in zip(*evidence.at_dose, strict=True))
        # Where little has been forgotten yet, seeds differ little: the note says how far both sides have come.
        context = Note("mean_ua", {"before": before, "after": after})
        for name in self.headline:
            estimate, reason = _spread(evidence, name)
            effect = Effect.of(estimate, "standard deviations", "log ratio")
            notes = (*((reason,) if reason else ()), context)
            margin, n = evidence.claims.margins.stability, len(evidence.pairs)
            yield Finding(self, evidence.method, name, evidence.matched, effect, estimate, margin, notes, n)


def _spread(evidence: Evidence, name: str) -> tuple[Estimate | None, Note | None]:
    """Return the ratio of the spreads of an accuracy at the matched dose, or why there is none."""
    left, right = ([number(row, name) for row in side] for side in zip(*evidence.at_dose, strict=True))
    if None in left or None in right:
        gone = {"before": left.count(None), "after": right.count(None), "pairs": len(left)}
        return None, Note("some_diverged", gone)
    if len(left) < FEWEST_FOR_SPREAD:
        return None, Note("few_for_spread", {"seeds": len(left)})
    before, after = (np.array(side, dtype=float) for side in (left, right))
    if np.ptp(before) == 0 or np.ptp(after) == 0:
        return None, Note("zero_spread")
    return spread_ratio(before, after, evidence.claims.alpha), None
