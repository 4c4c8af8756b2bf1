"""Extraction: what a language model still completes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, number
from ungrok.study.claims.notes import Note
from ungrok.study.track import Track

GAP = "extraction_forget gap"


@CLAIMS.register
class Extraction(Claim):
    """Lower extraction strength on forgotten pairs, higher on retained ones, and nearer to the oracle's on the forgotten."""

    kind: Literal["extraction"] = "extraction"
    statement: ClassVar[str] = (
        "Language models, the paper's Table 2: less can be extracted of what is forgotten, more of what is retained."
    )
    advantage: ClassVar[str] = "gives away less of what is forgotten and more of what is retained"
    title: ClassVar[str] = "extraction"
    family: ClassVar[str | None] = "language"
    rank: ClassVar[int] = 5

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per metric, where extraction strength was measured."""
        if "extraction_forget" not in next(iter(evidence.pairs.values()))[0].rows:
            return
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
