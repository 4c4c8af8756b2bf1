"""Efficiency: how much it takes to forget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, Pairs
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At, Effect, Target
from ungrok.study.statistics import Times, log_ratio
from ungrok.study.track import Row

COARSE = 20
"""Below so many updates to target, one update is more than 5 %: a ratio then says little."""


@CLAIMS.register
class Efficiency(Claim):
    """Fewer updates to target, as a log ratio; restricted to the end of the path where a target was not reached."""

    kind: Literal["efficiency"] = "efficiency"
    statement: ClassVar[str] = "From the {later}, fewer updates (or less strength) reach a target level of forgetting."
    advantage: ClassVar[str] = "needs fewer updates"
    title: ClassVar[str] = "efficiency"
    headline: ClassVar[tuple[str, ...]] = ("updates",)
    at_target: ClassVar[bool] = True
    rank: ClassVar[int] = 0

    def column(self, metric: str) -> str:  # noqa: ARG002
        """Return ``updates``: strengths stand in the same column."""
        return "updates"

    def without_pairs(self, method: str) -> Iterator[Finding]:
        """Yield one finding, for all claims, that no seed has both sides."""
        yield Finding(self, method, "updates", At("any"), Effect(), None, 1.0, (Note("no_pairs"),), 0)

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per target."""
        for target in evidence.claims.targets:
            pairs, notes = evidence.usable(target)
            yield self._at(evidence, target, pairs, notes)

    def _at(self, evidence: Evidence, target: Target, pairs: Pairs, notes: tuple[Note, ...]) -> Finding:
        end, alpha, margin = evidence.doses.end, evidence.claims.alpha, evidence.claims.margins.efficiency
        one_shot = bool(pairs) and evidence.one_shot
        metric, at = "strength" if one_shot else "updates", At.target(target)
        if not pairs:
            return Finding(self, evidence.method, metric, at, Effect(), None, margin, notes, 0)
        before, after = (_times([pair[side].at(target) for pair in pairs], end) for side in (0, 1))
        if not (before.reached.any() or after.reached.any()):
            notes = (Note("all_censored"), *notes)
            return Finding(self, evidence.method, metric, at, Effect(), None, margin, notes, len(pairs))
        estimate, kind = log_ratio(before, after, end, alpha)
        if kind == "log ratio":
            effect = Effect.of(estimate, metric, "log ratio")
        elif one_shot:
            # Strengths span decades: their restricted difference is taken in logs, shifted to be positive.
            least = min(before.time.min(), after.time.min())
            left, right = (Times(1 + np.log(times.time / least), times.reached) for times in (before, after))
            estimate, _ = log_ratio(left, right, float(1 + np.log(end / least)), alpha)
            effect = Effect.of(estimate, metric, "log ratio", cut_at=end)
        else:
            effect, margin = Effect.of(estimate, metric, cut_at=end), margin * float(before.time.mean())
        median = min(float(np.median(before.time)), float(np.median(after.time)))
        if not one_shot and median < COARSE:
            notes = (Note("coarse", {"updates": median}), *notes)
        return Finding(self, evidence.method, metric, at, effect, estimate, margin, notes, len(pairs))


def _times(hits: Sequence[Row | None], end: float) -> Times:
    """Return the doses at which a target was reached; the end of the path, marked, where it was not reached within it."""
    doses = np.array([np.inf if hit is None else hit["dose"] for hit in hits], dtype=float)
    return Times(np.minimum(doses, end), doses <= end)
