"""Extraction: what a language model still completes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, fall, number
from ungrok.study.claims.collateral import loss_at
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At
from ungrok.study.track import Track

GAP = "extraction_forget gap"

FORGET, RETAIN = "forget", "retain"
"""Readings beyond the oracle, of ``ES_forget`` and ``ES_retain``, which the headline family may hold."""


@CLAIMS.register
class Extraction(Claim):
    """Lower extraction strength on forgotten pairs, higher on retained ones.

    Two readings go beyond the oracle. ``forget`` is what is left after as many updates beyond a model that never saw the pairs. ``retain`` is
    what is lost of the others beyond what retraining loses too, where the target is reached: the cost of equal forgetting. A word
    says that the sides differ beyond the oracle and from the start, in the same direction. What the paper compares, strengths after as many
    updates, stands beside them and has no word.
    """

    kind: Literal["extraction"] = "extraction"
    statement: ClassVar[str] = (
        "Language models, the paper's Table 2: less can be extracted of what is forgotten, more of what is retained."
    )
    advantage: ClassVar[str] = "gives away less of what is forgotten and more of what is retained"
    title: ClassVar[str] = "extraction"
    family: ClassVar[str | None] = "language"
    rank: ClassVar[int] = 5

    def headline(self, finding: Finding, accuracy: str) -> str | None:  # noqa: ARG002
        """Return ``extraction_forget`` or ``extraction_retain`` for the readings beyond the oracle."""
        return f"{self.kind}_{finding.reading}" if finding.reading in (FORGET, RETAIN) else None

    def headline_place(self, place: At, evidence: Evidence, finding: Finding) -> At:
        """Return the matched dose for what is left of the forgotten pairs, wherever the other claims are read."""
        return evidence.matched if finding.reading == FORGET else place

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield the readings beyond the oracle, and one finding per metric of what the paper compares, as far as strengths were measured."""
        if evidence.has("ES_forget"):
            yield self._left(evidence)
        if evidence.has("ES_retain"):
            for read in evidence.places():
                lost = loss_at(self, evidence, read, "ES_retain", "ES_retain", from_start=False)
                yield replace(lost, reading=f"{RETAIN}_{read.reading}" if read.reading else RETAIN)
        if "extraction_forget" in next(iter(evidence.pairs.values()))[0].rows:
            yield from self._as_the_paper(evidence)

    def _left(self, evidence: Evidence) -> Finding:
        dose = evidence.doses.matched

        def left(track: Track) -> float | None:
            now, oracle = number(track.at_dose(dose), "ES_forget"), number(track.start, "oracle_ES_forget")
            return None if now is None or oracle is None else now - oracle

        def change(track: Track) -> float | None:
            fallen = fall(track, track.at_dose(dose), "ES_forget")
            return None if fallen is None else -fallen

        sides = evidence.read(left)
        notes = (*(() if sides.n else (Note("diverged_or_no_oracle"),)), evidence.started("ES_forget"))
        # Where the sides differ at the start, or in what the oracle knows, they differ beyond it without any unlearning.
        return Finding(
            self, evidence.method, "ES_forget", evidence.matched, sides if sides.n else None, "accuracy",
            evidence.claims.margins.oracle_score, notes, FORGET, accuracy=True, also=evidence.read(change) if sides.n else None,
        )  # fmt: skip

    def _as_the_paper(self, evidence: Evidence) -> Iterator[Finding]:
        dose = evidence.doses.matched
        for metric, column in (
            ("extraction_forget", "extraction_forget"),
            ("extraction_retain", "extraction_retain"),
            (GAP, "extraction_forget"),
        ):

            def value(track: Track, metric: str = metric, column: str = column) -> float | None:
                row = track.at_dose(dose)
                strength, oracle = number(row, column), number(row, f"oracle_{column}")
                if strength is None or (metric == GAP and oracle is None):
                    return None
                if metric == GAP and oracle is not None:
                    return abs(strength - oracle)
                # More that can be extracted of what is retained agrees with the paper.
                return -strength if metric == "extraction_retain" else strength

            sides = evidence.read(value)
            notes = (*(() if sides.n else (Note("diverged_or_no_oracle"),)), evidence.started(column))
            yield Finding(
                self, evidence.method, metric, evidence.matched, sides if sides.n else None, "extraction strength",
                evidence.claims.margins.paper, (*notes, Note("confounded")), accuracy=True,
            )  # fmt: skip
