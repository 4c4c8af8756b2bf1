"""Efficiency: how much it takes to forget, read in four ways."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, Pairs, Reading, Sides, number
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At, Target, Wins
from ungrok.study.search import Choice
from ungrok.study.track import Row

COARSE = 20
"""Below so many updates to target, one update is more than 5 %: a ratio then says little."""

READINGS = {
    "same_rate": "at the same rate",
    "own_rate": "at its own rate",
    "distance": "in distance moved",
    "lasting": "until it lasts",
}
"""How efficiency is read, as prose says it."""

DISTANCES = {
    "moved_retain": "function distance on retained data",
    "weight_distance": "weight distance",
}
"""Columns of rows that say how far a model has moved, with their units; the first is the headline's."""


@CLAIMS.register
class Efficiency(Claim):
    """Less is needed to reach a target: updates at the same rate, updates at the side's own rate, distance moved, or updates until it lasts.

    Forgetting lasts at the first place whose UA is at or below the target also after a repair, a training on retained data alone. Each is a
    log ratio. A path that never reaches its target counts with all the updates it was given: the ratio is that of restricted
    times, whose sign swaps with the sides.
    """

    kind: Literal["efficiency"] = "efficiency"
    statement: ClassVar[str] = "From the {later}, fewer updates (or less strength) reach a target level of forgetting."
    advantage: ClassVar[str] = "needs fewer updates"
    title: ClassVar[str] = "efficiency"
    rank: ClassVar[int] = 0

    def without_pairs(self, method: str) -> Iterator[Finding]:
        """Yield one finding, for all claims, that no seed has both sides."""
        yield Finding(self, method, "updates", At("any"), None, "updates", 1.0, (Note("no_pairs"),), "same_rate")

    def headline(self, finding: Finding, accuracy: str) -> str | None:  # noqa: ARG002
        """Return the reading; of distances only that in function counts."""
        return finding.reading if finding.metric in ("updates", "strength", "moved_retain") else None

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield the readings per target."""
        yield from self.times(evidence)
        lasting = evidence.lasting()
        if lasting is not None:
            yield self._lasting(evidence, lasting)
        for read in evidence.places():
            for column, unit in DISTANCES.items():
                if evidence.has(column):
                    yield self._distance(evidence, read, column, unit)

    def times(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield what compares updates or strengths, per target."""
        for target in evidence.claims.targets:
            pairs, notes = evidence.usable(target)
            # Where a method stops by itself, the target is only where its path happens to pass.
            notes = (*notes, Note("self_stopping")) if evidence.self_stopping else notes
            searched = evidence.searched(target)
            yield replace(self._same_rate(evidence, target, pairs, notes), identical=searched)
            if searched:
                yield self._own_rate(evidence, float(target), pairs)

    def _distance(self, evidence: Evidence, read: Reading, column: str, unit: str) -> Finding:
        sides = evidence.read(lambda track: _log(read.row(track), column), read.pairs)
        notes = read.notes if sides.n or not read.pairs else (Note("never_both"), *read.notes)
        metric = f"{column} same rate" if read.reading else column
        ratio = self._ratio(evidence, "distance", metric, read.at, sides if sides.n else None, unit, notes)
        return replace(ratio, barred=evidence.unequal(read)) if read.at.kind == "end" else ratio

    def _lasting(self, evidence: Evidence, read: Reading) -> Finding:
        metric = "strength" if evidence.one_shot else "updates"
        doses = evidence.read(lambda track: _dose(read.row(track)), read.pairs)
        there = _there(evidence, read.pairs)
        end = evidence.doses.end
        lasting = self._restricted(evidence, "lasting", metric, read.at, doses, there, end, read.notes)
        return replace(lasting, identical=bool(evidence.rates and read.reading))

    def _same_rate(self, evidence: Evidence, target: Target, pairs: Pairs, notes: tuple[Note, ...]) -> Finding:
        end, metric = evidence.doses.end, "strength" if evidence.one_shot else "updates"
        doses = evidence.read(lambda track: _dose(track.at(target)), pairs)
        there = _there(evidence, pairs)
        return self._restricted(evidence, "same_rate", metric, At.target(target), doses, there, end, notes)

    def _own_rate(self, evidence: Evidence, target: float, pairs: Pairs) -> Finding:
        choices = {seed: both for seed, both in evidence.own_rates(target).items() if seed in pairs}
        doses = np.full((2, evidence.seeds), np.nan)
        for seed, both in choices.items():
            doses[:, seed] = [math.nan if choice is None else choice.updates for choice in both]
        there = _there(evidence, choices)
        at, notes = At.target(target), _rate_notes(choices, sorted(evidence.rates))
        end = next((note for note in notes if note.code == "end_of_grid"), None)
        ratio = self._restricted(evidence, "own_rate", "updates", at, Sides(*doses), there, evidence.doses.end, notes)
        # Where the best rate of most paths lies at an end, another grid would give other counts, and another word.
        unknown = end is not None and 2 * end.values["count"] > end.values["paths"]
        return replace(ratio, barred=Note("rates_not_found", end.values)) if end and unknown else ratio

    def _restricted(
        self,
        evidence: Evidence,
        reading: str,
        metric: str,
        at: At,
        doses: Sides,
        there: np.ndarray,
        end: float,
        notes: tuple[Note, ...],
    ) -> Finding:
        """Compare doses, NaN where a target was not reached, of the pairs that are ``there``."""
        left, right = (np.where(there, np.fmin(side, end), np.nan) for side in (doses.left, doses.right))
        reached = [np.isfinite(side) & (side <= end) for side in (doses.left, doses.right)]
        any_reached, both = reached[0] | reached[1], reached[0] & reached[1]
        if not any_reached.any():
            notes = (Note("all_censored"), *notes) if there.any() else notes
            return self._ratio(evidence, reading, metric, at, None, metric, notes)
        with np.errstate(divide="ignore"):
            sides = Sides(np.log(left), np.log(right))
        cut = not both[there].all()
        if cut and both.any():
            ratio = float(np.exp(np.median(sides.differences[both])))
            notes = (*notes, Note("both_reached", {"count": int(both.sum()), "ratio": ratio}))
        median = min(float(np.nanmedian(left)), float(np.nanmedian(right)))
        if metric == "updates" and median < COARSE:
            notes = (Note("coarse", {"updates": median}), *notes)
        # At the end of a path, one that got there is ahead of one that did not, though both are restricted to the same count.
        earlier, later = (
            np.where(done, side, np.inf)[there] for side, done in zip((left, right), reached, strict=True)
        )
        fewer, more = int((later < earlier).sum()), int((later > earlier).sum())
        wins = Wins(fewer, more, int(there.sum()) - fewer - more)
        return self._ratio(evidence, reading, metric, at, sides, metric, notes, end if cut else None, wins)

    def _ratio(
        self,
        evidence: Evidence,
        reading: str,
        metric: str,
        at: At,
        sides: Sides | None,
        unit: str,
        notes: tuple[Note, ...],
        cut_at: float | None = None,
        wins: Wins | None = None,
    ) -> Finding:
        margin = evidence.claims.margins.efficiency
        return Finding(
            self, evidence.method, metric, at, sides, unit, margin, notes, reading, "means", "log ratio", cut_at, wins=wins
        )  # fmt: skip


def _there(evidence: Evidence, seeds: Collection[int]) -> np.ndarray:
    there = np.zeros(evidence.seeds, dtype=bool)
    there[list(seeds)] = True
    return there


def _dose(row: Row | None) -> float | None:
    return None if row is None else float(row["dose"])


def _log(row: Row | None, name: str) -> float | None:
    value = number(row, name)
    return None if value is None or value <= 0 else math.log(value)


def _rate_notes(choices: Mapping[int, tuple[Choice | None, ...]], rates: list[float]) -> tuple[Note, ...]:
    """Return which rates were chosen, and for how many paths the best one lies at an end of the grid."""
    sides = [[both[side].rate for both in choices.values() if both[side] is not None] for side in (0, 1)]  # type: ignore[union-attr]
    notes = []
    if all(sides):
        before, after = (float(np.median(side)) for side in sides)
        notes.append(Note("own_rates", {"before": before, "after": after}))
    lost = sum(choice is None for both in choices.values() for choice in both)
    if lost:
        before, after = (sum(both[side] is None for both in choices.values()) for side in (0, 1))
        notes.append(Note("not_reached", {"before": before, "after": after, "pairs": len(choices)}))
    at_end = sum(rate in (rates[0], rates[-1]) for side in sides for rate in side)
    if at_end:
        notes.append(Note("end_of_grid", {"count": at_end, "paths": 2 * len(choices)}))
    return tuple(notes)
