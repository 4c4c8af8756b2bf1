"""Collateral damage: what else is lost when the target is reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from ungrok.study.claims.base import CLAIMS, Bounds, Claim, Evidence, Finding, Pairs, Value, bounded, number
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At, Effect, Target
from ungrok.study.track import Row, Track

SHORT = {"bystander_accuracy": "bystander"}


@CLAIMS.register
class Collateral(Claim):
    """Smaller drops of retain, test and bystander accuracy, absolute and as shares of the accuracy at the start."""

    kind: Literal["collateral"] = "collateral"
    statement: ClassVar[str] = "When the target is reached, retain, test and bystander accuracy have fallen less."
    advantage: ClassVar[str] = "does less collateral damage"
    title: ClassVar[str] = "collateral damage"
    headline: ClassVar[tuple[str, ...]] = ("RA", "TA", "bystander_accuracy")
    at_target: ClassVar[bool] = True
    rank: ClassVar[int] = 1

    def head(self, column: str) -> str:
        """Return for instance ``RA drop``."""
        return f"{SHORT.get(column, column)} drop"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield, per target and accuracy, the difference of drops and that of their shares."""
        for target in evidence.claims.targets:
            pairs, notes = evidence.usable(target)
            for name in self.headline:
                starts = [number(track.start, name) for pair in pairs for track in pair]
                if None in starts:
                    continue
                for share in (False, True):
                    if not (share and 0 in starts):
                        yield self._at(evidence, target, pairs, notes, name, share=share)

    def _at(
        self, evidence: Evidence, target: Target, pairs: Pairs, notes: tuple[Note, ...], name: str, *, share: bool
    ) -> Finding:
        values = [
            (_drop(left, left.at(target), name, share), _drop(right, right.at(target), name, share))
            for left, right in pairs
        ]
        unknown = [(_drop_bounds(left, name, share), _drop_bounds(right, name, share)) for left, right in pairs]
        estimate = bounded(values, unknown, evidence.claims.alpha)
        if estimate is None and pairs:
            notes = (Note("never_both"), *notes)
        metric, unit = (f"{name} share", "share of the starting accuracy") if share else (name, "accuracy")
        effect, margin = Effect.of(estimate, unit), evidence.claims.margins.collateral
        return Finding(self, evidence.method, metric, At.target(target), effect, estimate, margin, notes, len(pairs))


def _drop(track: Track, row: Row | None, name: str, share: bool) -> Value:
    """Return how far an accuracy has fallen from the start of the path to ``row``, or its share of the start."""
    start, now = number(track.start, name), number(row, name)
    if start is None or now is None:
        return None
    return (start - now) / (start if share else 1)


def _drop_bounds(track: Track, name: str, share: bool) -> Bounds:
    """Return the least and the largest possible drop: an accuracy lies in [0, 1]."""
    start = number(track.start, name) or 0.0
    scale = start if share else 1.0
    return (start - 1) / scale, start / scale
