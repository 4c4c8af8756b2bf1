"""The paper's own reading: accuracies after a fixed number of updates, and UES."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from ungrok.evaluate.gap import NAMES, ues
from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, bounded_shares, number
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import Effect
from ungrok.study.statistics import sign_flip


@CLAIMS.register
class Paper(Claim):
    """Lower UA, higher RA, TA and UES at the matched dose, whatever they started from (arXiv 2512.03437)."""

    kind: Literal["paper"] = "paper"
    statement: ClassVar[str] = (
        "The paper's own reading: lower UA, higher RA, TA and UES after a fixed budget, whatever the start."
    )
    advantage: ClassVar[str] = "looks better by the paper's own reading"
    title: ClassVar[str] = "the paper's reading"
    headline: ClassVar[tuple[str, ...]] = ("UA", "RA", "TA")
    rank: ClassVar[int] = 4

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per accuracy and one of UES."""
        claims, n = evidence.claims, len(evidence.pairs)
        for name in self.headline:
            values = [(number(left, name), number(right, name)) for left, right in evidence.at_dose]
            if name != "UA":
                # Larger RA and TA agree with the paper: right minus left.
                values = [(right, left) for left, right in values]
            estimate = bounded_shares(values, claims.alpha)
            notes = (*(() if estimate else (Note("all_diverged"),)), evidence.started(name))
            effect = Effect.of(estimate, "accuracy")
            yield Finding(
                self, evidence.method, name, evidence.matched, effect, estimate, claims.margins.paper, notes, n
            )
        yield self._ues(evidence)

    def _ues(self, evidence: Evidence) -> Finding:
        scores = [
            [
                ues(*({name: number(row, name) for name in NAMES} for row in (track.start, row)))
                for track, row in zip(pair, place, strict=True)
            ]
            for pair, place in zip(evidence.pairs, evidence.at_dose, strict=True)
        ]
        defined = np.array([pair for pair in scores if None not in pair], dtype=float)
        n, notes = len(defined), [Note("defined", {"count": len(defined), "pairs": len(evidence.pairs)})]
        estimate = None
        if n:
            negative = int((defined < 0).sum())
            extent = {"low": defined.min(), "high": defined.max(), "negative": negative, "values": defined.size}
            notes.append(Note("unstable", extent))
            estimate = sign_flip(defined[:, 1] - defined[:, 0], evidence.claims.alpha)
        effect = Effect.of(estimate, "1/accuracy")
        return Finding(self, evidence.method, "UES", evidence.matched, effect, estimate, 0.0, tuple(notes), n)
