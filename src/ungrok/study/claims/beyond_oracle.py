"""What is left beyond the oracle: how much more a model knows of what it was made to forget than one that never saw it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, number
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At
from ungrok.study.track import Track

SCORES = ("ES_forget", "UA")
"""Columns of rows that say what is known of the forget data; language models have the first one."""


@CLAIMS.register
class BeyondOracle(Claim):
    """Less is left at the matched dose: extraction strength on the forgotten pairs, or UA of a classifier, minus the oracle's.

    It is read where the training shows some examples early and others late: both sides then start from one model.
    """

    kind: Literal["beyond_oracle"] = "beyond_oracle"
    statement: ClassVar[str] = (
        "After the same number of updates, less is left of what is forgotten beyond what a model knows that never saw it."
    )
    advantage: ClassVar[str] = "leaves less beyond the oracle"
    title: ClassVar[str] = "what is left beyond the oracle"
    rank: ClassVar[int] = 6

    def headline(self, finding: Finding, accuracy: str) -> str | None:  # noqa: ARG002
        """Return ``beyond_oracle``."""
        return self.kind

    def headline_place(self, place: At, evidence: Evidence, finding: Finding) -> At:  # noqa: ARG002
        """Return the matched dose, wherever the other claims are read."""
        return evidence.matched

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding where the training staggers its examples."""
        if not evidence.exposed:
            return
        score = next(name for name in SCORES if evidence.has(name))
        dose = evidence.doses.matched

        def left(track: Track) -> float | None:
            now, oracle = number(track.at_dose(dose), score), number(track.start, f"oracle_{score}")
            return None if now is None or oracle is None else now - oracle

        sides = evidence.read(left)
        notes = (*(() if sides.n else (Note("diverged_or_no_oracle"),)), evidence.started(score))
        yield Finding(
            self, evidence.method, score, evidence.matched, sides if sides.n else None, "accuracy",
            evidence.claims.margins.oracle_score, notes, accuracy=True,
        )  # fmt: skip
