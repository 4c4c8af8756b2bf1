"""Oracle gap: how much nearer a model comes to one that never saw what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, Reading, mean, number
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At
from ungrok.study.track import Row, Track

FLOOR = "oracle_floor"
"""Column of rows: the gap of the second oracle to the first."""


@CLAIMS.register
class OracleGap(Claim):
    """A smaller change, from the start of the path, of the mean distance of UA, RA and TA from those of the oracle.

    Only what lies beyond the floor counts, the distance of two oracles that differ in their seed.
    """

    kind: Literal["oracle_gap"] = "oracle_gap"
    statement: ClassVar[str] = (
        "On the way to the target UA, RA and TA come nearer to those of a model retrained without the forget data."
    )
    advantage: ClassVar[str] = "comes nearer to the oracle"
    title: ClassVar[str] = "oracle gap"
    rank: ClassVar[int] = 3

    def headline(self, finding: Finding, accuracy: str) -> str | None:  # noqa: ARG002
        """Return ``oracle_gap``."""
        return "oracle_gap" if finding.metric == "gap" and not finding.reading else None

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per target, one at the matched dose and one where rewinding stops."""
        for read in evidence.places():
            yield self._at(evidence, read)
        dose = evidence.doses.matched
        yield self._at(evidence, Reading(evidence.matched, evidence.pairs, (), lambda track: track.at_dose(dose)))
        yield self._at(evidence, Reading(At("rewind"), evidence.pairs, (), lambda track: track.rewound()))

    def _at(self, evidence: Evidence, read: Reading) -> Finding:
        pairs, notes = read.pairs, read.notes

        def change(track: Track) -> float | None:
            start, now = (_beyond(row) for row in (track.start, read.row(track)))
            return None if start is None or now is None else now - start

        sides = evidence.read(change, pairs)
        if not sides.n and pairs:
            notes = (Note("no_gap"), *notes)
        bare = sum(any(number(track.start, FLOOR) is None for track in pair) for pair in pairs.values())
        if bare and sides.n:
            notes = (*notes, Note("no_floor", {"count": bare, "pairs": len(pairs)}))
        if sides.n:
            first = evidence.read(lambda track: _beyond(track.start), pairs)
            starts = {"before": mean(first.left[sides.both]), "after": mean(first.right[sides.both])}
            notes = (*notes, Note("gap_started", starts))
        margin, values = evidence.claims.margins.oracle_gap, sides if sides.n else None
        return Finding(
            self, evidence.method, "gap", read.at, values, "accuracy", margin, notes, read.reading, accuracy=True
        )  # fmt: skip


def _beyond(row: Row | None) -> float | None:
    """Return by how much the gap of a row exceeds the distance of two oracles; the whole gap where there is one oracle."""
    gap = number(row, "oracle_gap")
    return None if gap is None else max(0.0, gap - (number(row, FLOOR) or 0.0))
