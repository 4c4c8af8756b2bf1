"""Stability: how much the outcome depends on the seed, at equal forgetting."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, Reading, Sides, fall, number
from ungrok.study.claims.efficiency import Efficiency
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At, Scale
from ungrok.study.statistics import FEWEST_FOR_SPREAD
from ungrok.study.track import Track

SCALE: Scale = "log ratio"


@CLAIMS.register
class Stability(Claim):
    """A smaller standard deviation over seeds of what was lost, and of the updates it took, where every path got there."""

    kind: Literal["stability"] = "stability"
    statement: ClassVar[str] = (
        "Where every path reaches the target, the fall of accuracies from the start and the updates spread less over seeds."
    )
    advantage: ClassVar[str] = "spreads less over seeds"
    title: ClassVar[str] = "stability"
    rank: ClassVar[int] = 2

    def headline(self, finding: Finding, accuracy: str) -> str | None:
        """Return ``spread`` for the fall of the accuracy by which damage is judged."""
        return "spread" if finding.metric == accuracy and not finding.reading else None

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per place and accuracy, and one of the updates."""
        for read in evidence.places():
            complete = evidence.read(partial(_value, read, "UA"), read.pairs).n == len(read.pairs)
            barred = evidence.unequal(read)
            for name in ("RA", "TA", "bystander_accuracy"):
                if evidence.has(name):
                    falls = evidence.read(partial(_fall, read, name), read.pairs)
                    yield self._spread(
                        evidence, name, read.at, falls, barred, read.notes, read.reading, complete=complete
                    )
        for finding in Efficiency().times(evidence):
            if finding.metric == "updates" and finding.sides is not None:
                yield self._of_updates(evidence, finding)

    def _of_updates(self, evidence: Evidence, times: Finding) -> Finding:
        assert times.sides is not None
        metric = f"updates {times.reading.replace('_', ' ')}"
        return self._spread(
            evidence, metric, times.at, times.sides, None, times.notes, complete=times.cut_at is None
        )  # fmt: skip

    def _spread(
        self,
        evidence: Evidence,
        metric: str,
        at: At,
        sides: Sides,
        barred: Note | None,
        notes: tuple[Note, ...],
        reading: str = "",
        *,
        complete: bool,
    ) -> Finding:
        reason = None
        if not complete:
            reason = Note("not_all_reached")
        elif sides.n < FEWEST_FOR_SPREAD:
            reason = Note("few_for_spread", {"seeds": sides.n})
        elif any(np.ptp(side[sides.both]) == 0 for side in (sides.left, sides.right)):
            reason = Note("zero_spread")
        margin = evidence.claims.margins.stability
        values, said = (sides, notes) if reason is None else (None, (reason, *notes))
        return Finding(
            self, evidence.method, metric, at, values, "standard deviations", margin, said, reading, "spreads", SCALE,
            barred=barred,
        )  # fmt: skip


def _value(read: Reading, name: str, track: Track) -> float | None:
    return number(read.row(track), name)


def _fall(read: Reading, name: str, track: Track) -> float | None:
    return fall(track, read.row(track), name)
