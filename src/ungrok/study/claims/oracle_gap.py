"""Oracle gap: how far the unlearned model is from one that never saw what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, Places, bounded_shares, number
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At, Effect


@CLAIMS.register
class OracleGap(Claim):
    """A smaller mean distance of UA, RA and TA from those of the oracle."""

    kind: Literal["oracle_gap"] = "oracle_gap"
    statement: ClassVar[str] = "UA, RA and TA end nearer to those of a model retrained without the forget data."
    advantage: ClassVar[str] = "ends nearer to the oracle"
    title: ClassVar[str] = "oracle gap"
    headline: ClassVar[tuple[str, ...]] = ("gap",)
    at_target: ClassVar[bool] = True
    rank: ClassVar[int] = 3

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per target, one at the matched dose and one where rewinding stops."""
        for target in evidence.claims.targets:
            pairs, notes = evidence.usable(target)
            reached = [(left.at(target), right.at(target)) for left, right in pairs]
            yield self._at(evidence, reached, At.target(target), notes)
        yield self._at(evidence, evidence.at_dose, evidence.matched, ())
        rewound = [(left.rewound(), right.rewound()) for left, right in evidence.pairs]
        yield self._at(evidence, rewound, At("rewind"), ())

    def _at(self, evidence: Evidence, places: Places, at: At, notes: tuple[Note, ...]) -> Finding:
        values = [(number(left, "oracle_gap"), number(right, "oracle_gap")) for left, right in places]
        estimate = bounded_shares(values, evidence.claims.alpha)
        if estimate is None and places:
            notes = (Note("no_gap"), *notes)
        effect, margin = Effect.of(estimate, "accuracy"), evidence.claims.margins.oracle_gap
        return Finding(self, evidence.method, "gap", at, effect, estimate, margin, notes, len(places))
