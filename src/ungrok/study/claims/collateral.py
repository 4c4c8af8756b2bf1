"""Collateral damage: what else is lost when the target is reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, Reading, fall, mean, number
from ungrok.study.claims.notes import Note
from ungrok.study.track import Row, Track

AFTER = "_after"
"""What columns of accuracies after a repair end in."""


@CLAIMS.register
class Collateral(Claim):
    """Smaller damage: RA as its drop from the start, TA and bystander accuracy as what was lost beyond what retraining loses too.

    A word says that the sides differ beyond the oracle and from the start, in the same direction. The raw drop of TA stands beside them.
    Where a class is forgotten it counts the forgetting itself: the oracle drops as well. In the reading ``lasting`` it is the price of
    forgetting that lasts: what is lost at the first place that stands a repair, before the repair and, called ``after repair``, behind it.
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
        """Return ``damage``, or ``price`` where forgetting lasts, for what is lost beyond the oracle of the accuracy by which damage is judged."""
        return {"": "damage", "lasting": "price"}.get(finding.reading) if finding.metric == accuracy else None

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per place and accuracy."""
        for read in evidence.places():
            for metric, column, from_start in (
                ("RA", "RA", True),
                ("TA", "TA", False),
                ("bystander_accuracy", "bystander_accuracy", False),
                ("TA drop", "TA", True),
            ):
                if evidence.has(column):
                    yield loss_at(self, evidence, read, metric, column, from_start=from_start)
        lasting = evidence.lasting()
        if lasting is not None:
            yield from self._price(evidence, lasting)

    def _price(self, evidence: Evidence, read: Reading) -> Iterator[Finding]:
        """Yield what is lost where forgetting lasts, before the repair and after it."""
        identical = bool(evidence.rates and read.reading)
        for metric, from_start in (("RA", True), ("TA", False), ("bystander_accuracy", False)):
            for when, suffix in (("", ""), (" after repair", AFTER)):
                if evidence.has(metric):
                    place = read._replace(reading="lasting")
                    price = loss_at(self, evidence, place, metric + when, metric, suffix, from_start=from_start)
                    yield replace(price, identical=identical)


def loss_at(
    claim: Claim, evidence: Evidence, read: Reading, metric: str, column: str, suffix: str = "", *, from_start: bool
) -> Finding:
    """Return the finding of what of a score is lost at a place.

    Args:
        claim: What it belongs to.
        evidence: The paths.
        read: The place.
        metric: What the finding calls it.
        column: Column of rows that holds the score.
        suffix: What the name of the column ends in behind a repair.
        from_start: Whether it is the drop from the start. Else it is what was lost beyond the oracle, and a word says that the sides differ from the
            start, too.

    """

    def fallen(track: Track, row: Row | None) -> float | None:
        return fall(track, row, column, suffix)

    def lost(track: Track, row: Row | None) -> float | None:
        if from_start:
            return fallen(track, row)
        retrained, now = number(track.start, f"oracle_{column}"), number(row, column + suffix)
        return None if retrained is None or now is None else retrained - now

    notes = read.notes
    sides = evidence.read(lambda track: lost(track, read.row(track)), read.pairs)
    if not sides.n and read.pairs:
        reached = evidence.read(lambda track: number(read.row(track), column + suffix), read.pairs)
        notes = (Note("oracle_lacks", {"accuracy": column}) if reached.n else Note("never_both"), *notes)
    elif sides.n < len(read.pairs) and not suffix:
        # Damage can only be larger where a path has not come as far yet, if it grows along the path.
        least = evidence.read(lambda track: lost(track, read.row(track) or track.end), read.pairs)
        notes = (*notes, Note("at_least", {"before": mean(least.left), "after": mean(least.right)}))
    margin = evidence.claims.margins.collateral
    values = sides if sides.n else None
    also = None
    if values is not None and not from_start:
        # Where the sides differ in what retraining loses, they differ beyond it without any damage.
        also = evidence.read(lambda track: fallen(track, read.row(track)), read.pairs)
    return Finding(
        claim, evidence.method, metric, read.at, values, "accuracy", margin, notes, read.reading, accuracy=True,
        barred=evidence.unequal(read) if read.at.kind == "end" else None, also=also,
    )  # fmt: skip
