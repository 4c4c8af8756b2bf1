"""Collateral damage: what else is lost when the target is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, Pairs, fall, mean, number
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At
from ungrok.study.track import Row, Track

Place = Callable[[Track], Row | None]


@CLAIMS.register
class Collateral(Claim):
    """Smaller damage: RA as its drop from the start, TA and bystander accuracy as what was lost beyond what retraining loses too.

    The raw drop of TA stands beside them. Where a class is forgotten it counts the forgetting itself: the oracle drops as well.
    """

    kind: Literal["collateral"] = "collateral"
    statement: ClassVar[str] = (
        "When the target is reached, less is lost beyond what retraining loses too, on test data and bystander classes, "
        "and less from the start on retained data."
    )
    advantage: ClassVar[str] = "does less collateral damage"
    title: ClassVar[str] = "collateral damage"
    rank: ClassVar[int] = 1

    def headline(self, finding: Finding, accuracy: str) -> str | None:
        """Return ``damage`` for what is lost beyond the oracle of the accuracy by which damage is judged."""
        return "damage" if finding.metric == accuracy else None

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per place and accuracy."""
        for at, pairs, notes, place in evidence.places():
            for metric, column, from_start in (
                ("RA", "RA", True),
                ("TA", "TA", False),
                ("bystander_accuracy", "bystander_accuracy", False),
                ("TA drop", "TA", True),
            ):
                if evidence.has(column):
                    yield self._at(evidence, at, pairs, notes, place, metric, column, from_start=from_start)

    def _at(
        self,
        evidence: Evidence,
        at: At,
        pairs: Pairs,
        notes: tuple[Note, ...],
        place: Place,
        metric: str,
        column: str,
        *,
        from_start: bool,
    ) -> Finding:
        def lost(track: Track, row: Row | None) -> float | None:
            if from_start:
                return fall(track, row, column)
            retrained, now = number(track.start, f"oracle_{column}"), number(row, column)
            return None if retrained is None or now is None else retrained - now

        sides = evidence.read(lambda track: lost(track, place(track)), pairs)
        if not sides.n and pairs:
            notes = (Note("never_both"), *notes)
        elif sides.n < len(pairs):
            # Damage can only be larger where a path has not come as far yet, if it grows along the path.
            least = evidence.read(lambda track: lost(track, place(track) or track.end), pairs)
            notes = (*notes, Note("at_least", {"before": mean(least.left), "after": mean(least.right)}))
        margin = evidence.claims.margins.collateral
        values = sides if sides.n else None
        return Finding(self, evidence.method, metric, at, values, "accuracy", margin, notes, accuracy=True)
