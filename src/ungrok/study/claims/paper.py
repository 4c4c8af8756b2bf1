"""The paper's own reading: accuracies after a fixed number of updates, and UES."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from ungrok.evaluate.gap import NAMES, ues
from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, number
from ungrok.study.claims.notes import Note
from ungrok.study.track import Track


@CLAIMS.register
class Paper(Claim):
    """Lower UA, higher RA, TA and UES at the matched dose, whatever they started from (arXiv 2512.03437).

    After the same number of updates the two sides have forgotten differently much, so these values say nothing by themselves.
    """

    kind: Literal["paper"] = "paper"
    statement: ClassVar[str] = (
        "The paper's own reading: lower UA, higher RA, TA and UES after a fixed budget, whatever the start."
    )
    advantage: ClassVar[str] = "looks better by the paper's own reading"
    title: ClassVar[str] = "the paper's reading"
    rank: ClassVar[int] = 4

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per accuracy and one of UES."""
        dose, margin, confounded = evidence.doses.matched, evidence.claims.margins.paper, Note("confounded")
        for name, sign in zip(NAMES, (1, -1, -1), strict=True):
            # Larger RA and TA agree with the paper.
            def value(track: Track, name: str = name, sign: int = sign) -> float | None:
                accuracy = number(track.at_dose(dose), name)
                return None if accuracy is None else sign * accuracy

            sides = evidence.read(value)
            notes = (*(() if sides.n else (Note("all_diverged"),)), evidence.started(name), confounded)
            values = sides if sides.n else None
            yield Finding(
                self, evidence.method, name, evidence.matched, values, "accuracy", margin, notes, accuracy=True
            )  # fmt: skip
        yield self._ues(evidence)

    def _ues(self, evidence: Evidence) -> Finding:
        def score(track: Track) -> float | None:
            rows = (track.start, track.at_dose(evidence.doses.matched))
            value = ues(*({name: number(row, name) for name in NAMES} for row in rows))
            return None if value is None else -value

        sides, pairs = evidence.read(score), len(evidence.pairs)
        notes = [Note("defined", {"count": sides.n, "pairs": pairs})]
        if sides.n:
            values = -np.concatenate([sides.left[sides.both], sides.right[sides.both]])
            extent = {"low": values.min(), "high": values.max(), "negative": int((values < 0).sum())}
            notes.append(Note("unstable", extent | {"values": values.size}))
        notes.append(Note("confounded"))
        compared = sides if sides.n else None
        return Finding(
            self, evidence.method, "UES", evidence.matched, compared, "1/accuracy", 0.0, tuple(notes)
        )  # fmt: skip
