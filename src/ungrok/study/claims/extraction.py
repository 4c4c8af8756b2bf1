"""Extraction: what a language model still completes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, Value, bounded_shares, number
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import Effect
from ungrok.study.track import Row

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
    headline: ClassVar[tuple[str, ...]] = ("extraction_forget", "extraction_retain", GAP)
    family: ClassVar[str | None] = "language"
    rank: ClassVar[int] = 5

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per metric, where extraction strength was measured."""
        if "extraction_forget" not in evidence.pairs[0][0].rows:
            return
        for metric, column in (
            ("extraction_forget", "extraction_forget"),
            ("extraction_retain", "extraction_retain"),
            (GAP, "extraction_forget"),
        ):
            measure = _gap if metric == GAP else number
            values = [(measure(left, column), measure(right, column)) for left, right in evidence.at_dose]
            if metric == "extraction_retain":
                # More that can be extracted of what is retained agrees with the paper: right minus left.
                values = [(right, left) for left, right in values]
            estimate = bounded_shares(values, evidence.claims.alpha)
            notes = (*(() if estimate else (Note("diverged_or_no_oracle"),)), evidence.started(column))
            effect, margin = Effect.of(estimate, "extraction strength"), evidence.claims.margins.paper
            n = len(evidence.pairs)
            yield Finding(self, evidence.method, metric, evidence.matched, effect, estimate, margin, notes, n)


def _gap(row: Row | None, name: str) -> Value:
    """Return the distance of an extraction strength from the oracle's."""
    value, oracle = number(row, name), number(row, f"oracle_{name}")
    return None if value is None or oracle is None else abs(value - oracle)
