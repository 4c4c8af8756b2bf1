"""Durability: how much attacks after unlearning bring back of what was forgotten."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from ungrok.methods import Unlearner
from ungrok.study.claims.base import CLAIMS, Claim, Evidence, Finding, Floats, Pairs, Reading, Sides, mean
from ungrok.study.claims.headline import covers, resolved
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At
from ungrok.study.inference import FEWEST
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_stress import where_label
from ungrok.study.stress import Attacked, Relearning, interval_of, standings_of, together, word
from ungrok.study.track import Track
from ungrok.study.units import swaps
from ungrok.train.stages import stage_name


def place_label(at: At) -> str:
    """Return the name of a place in the table ``stress``: ``0.1``, ``oracle``, ``rewound`` or ``end``."""
    if at.kind == "target":
        assert at.level is not None
        return where_label(at.level)
    return {"rewind": "rewound"}.get(at.kind, at.kind)


@CLAIMS.register
class Durability(Claim):
    """Forgetting stands more: more updates of relearning, and a smaller worst gap to the oracle over all attacks.

    Both are read beyond the oracle of the same side, which answers an attack with what it has from elsewhere. A word says that the
    sides differ beyond their oracles and by themselves, in the same direction.
    """

    kind: Literal["durability"] = "durability"
    statement: ClassVar[str] = (
        "From the {later}, forgetting stands more: relearning takes more updates beyond the oracle's, and attacks bring back less."
    )
    advantage: ClassVar[str] = "forgets more durably"
    title: ClassVar[str] = "durability"
    rank: ClassVar[int] = 4

    def headline(self, finding: Finding, accuracy: str) -> str | None:  # noqa: ARG002
        """Return ``durability``."""
        return "durability"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield both numbers at each place that was attacked."""
        targets = {place_label(at): at for at in map(At.target, evidence.claims.targets)}
        there = {name for pair in evidence.pairs.values() for track in pair for name in track.attacked}
        for name, at in {**targets, "rewound": At("rewind"), "end": At("end")}.items():
            if name not in there:
                continue
            pairs, notes = evidence.usable(at.level) if at.level is not None else (evidence.pairs, ())
            yield self._relearned(evidence, name, Reading(at, pairs, notes, lambda track: track.end))
            yield self._gap(evidence, name, Reading(at, pairs, notes, lambda track: track.end))

    def _relearned(self, evidence: Evidence, name: str, read: Reading) -> Finding:
        """Compare updates of relearning, as a log ratio to those of the oracle of the same side."""
        at_once = [sum(_at_once(_of(pair[side], name).oracle) for pair in read.pairs.values()) for side in (0, 1)]
        own = evidence.read(lambda track: _log(_of(track, name).relearned), read.pairs)
        sooner, undecided = _settled(
            evidence.read(lambda track: _sooner(_of(track, name)), read.pairs), read.pairs, name
        )
        cuts, of_oracles = (_censored(read.pairs, name, whose) for whose in WHOSE)
        notes = (*read.notes, *_known_in(read, sooner))
        if any(at_once):
            counts = {"before": at_once[0], "after": at_once[1], "pairs": len(read.pairs)}
            notes = (Note("oracle_at_once", counts), *notes)
        if undecided:
            notes = (*notes, Note("may_turn", {"count": undecided, "pairs": len(read.pairs)}))
        for code, sides in (("not_relearned", cuts), ("oracle_not_relearned", of_oracles)):
            before, after = map(sum, sides)
            if before or after:
                tried = {"pairs": len(read.pairs), "updates": _last(read.pairs, name)}
                notes = (*notes, Note(code, {"before": before, "after": after, **tried}))
        own = Sides(np.where(sooner.both, own.left, np.nan), np.where(sooner.both, own.right, np.nan))
        if sooner.n and all(map(all, cuts)):
            sooner, notes = Sides(sooner.left * np.nan, sooner.right * np.nan), (Note("never_relearned"), *notes)
        return Finding(
            self, evidence.method, "relearn_updates", read.at, sooner if sooner.n else None, "updates", evidence.claims.margins.efficiency,
            notes, "relearning", scale="log ratio", cut_at=_cut(read.pairs, name), barred=_unequal(evidence, read),
            also=Sides(-own.left, -own.right) if sooner.n else None, otherwise=Note("only_against_oracle"), identical=bool(evidence.rates),
        )  # fmt: skip

    def _gap(self, evidence: Evidence, name: str, read: Reading) -> Finding:
        """Compare how far R lies beyond the floor of two oracles."""
        worst, floors = (
            evidence.read(read_of, read.pairs)
            for read_of in (lambda track: _of(track, name).gap, lambda track: _of(track, name).floor)
        )
        # Where one side alone has a floor, it is subtracted from neither: else the other would seem to give more back.
        beyond = Sides(
            np.maximum(0.0, worst.left - np.where(floors.both, floors.left, 0.0)),
            np.maximum(0.0, worst.right - np.where(floors.both, floors.right, 0.0)),
        )
        notes = (*read.notes, *_known_in(read, beyond)) if beyond.n else read.notes
        if beyond.n:
            notes = (*notes, Note("worst_gaps", {"before": mean(worst.left), "after": mean(worst.right)}))
        if floors.n:
            notes = (*notes, Note("floors", {"before": mean(floors.left), "after": mean(floors.right)}))
        bare = beyond.n - int((floors.both & beyond.both).sum())
        if bare:
            notes = (*notes, Note("no_floor", {"count": bare, "pairs": len(read.pairs)}))
        also = evidence.read(lambda track: _of(track, name).accuracy, read.pairs)
        barred = _unequal(evidence, read) or _within(evidence, read, name, worst, floors)
        return Finding(
            self, evidence.method, "worst_gap", read.at, beyond if beyond.n else None, "accuracy", evidence.claims.margins.oracle_gap,
            notes if beyond.n else (Note("no_gap"), *notes), "attacks", accuracy=True, barred=barred,
            also=also if beyond.n else None, otherwise=Note("only_against_oracle"), identical=bool(evidence.rates),
        )  # fmt: skip


NOTHING = Attacked()
"""What stands for a place that was not attacked."""


NEITHER = (None, None)
"""What stands for the gap and the floor of an attack that was not made."""

WHOSE: tuple[Literal["relearned", "oracle"], ...] = ("relearned", "oracle")
"""The two whose updates of relearning are compared."""


def _of(track: Track, name: str) -> Attacked:
    return track.attacked.get(name, NOTHING)


def _at_once(relearned: Relearning | None) -> bool:
    return relearned is not None and relearned.updates == 0


def _log(relearned: Relearning | None) -> float | None:
    """Return the log of updates; what is there before any counts as relearned by the first."""
    return None if relearned is None else math.log(max(1.0, relearned.updates))


def _sooner(here: Attacked) -> float | None:
    """Return by which log ratio the oracle takes longer to relearn; None where it knows half from the start."""
    own, oracle = _log(here.relearned), _log(here.oracle)
    return None if own is None or oracle is None or _at_once(here.oracle) else oracle - own


def _settled(sooner: Sides, pairs: Pairs, name: str) -> tuple[Sides, int]:
    """Return the sides, equal in the pairs whose direction updates beyond the last that was tried may turn, and the number of these."""
    turned = [seed for seed, pair in pairs.items() if _may_turn(*(_of(track, name) for track in pair))]
    left, right = sooner.left.copy(), sooner.right.copy()
    left[turned] = right[turned] = (left[turned] + right[turned]) / 2
    return Sides(left, right), len(turned)


def _may_turn(left: Attacked, right: Attacked) -> bool:
    """Return whether a pair's direction rests on a number that is only known to be larger.

    What is compared is log(right / its oracle) − log(left / its oracle): the left model and the right oracle, where they took longer, pull it
    down, and the two others pull it up. Oracles of which neither was relearned count as alike.
    """
    first, second = _sooner(left), _sooner(right)
    if first is None or second is None:
        return False
    times = (left.relearned, left.oracle, right.relearned, right.oracle)
    longer, its_oracle, other, others_oracle = (time is not None and time.censored for time in times)
    lower, higher = longer or (others_oracle and not its_oracle), other or (its_oracle and not others_oracle)
    return (first > second and lower) or (first < second and higher)


def _known_in(read: Reading, sides: Sides) -> tuple[Note, ...]:
    """Return the note that says in how many pairs both sides have a value, where it is not all."""
    pairs = len(read.pairs)
    return (Note("defined", {"count": sides.n, "pairs": pairs}),) if sides.n < pairs else ()


def _known(pairs: Pairs, name: str) -> dict[int, list[Attacked]]:
    """Return, by side, what is known of the pairs that are compared in updates of relearning."""
    kept = [pair for pair in pairs.values() if all(_sooner(_of(track, name)) is not None for track in pair)]
    return {side: [_of(pair[side], name) for pair in kept] for side in (0, 1)}


def _censored(pairs: Pairs, name: str, whose: Literal["relearned", "oracle"]) -> list[list[bool]]:
    """Return, by side and pair, whether the model, or its oracle, was not relearned."""
    return [[getattr(here, whose).censored for here in all_of] for all_of in _known(pairs, name).values()]


def _times(pairs: Pairs, name: str) -> list[Relearning]:
    both = [(here.relearned, here.oracle) for all_of in _known(pairs, name).values() for here in all_of]
    return [time for pair in both for time in pair if time is not None]


def _last(pairs: Pairs, name: str) -> float:
    return max((time.updates for time in _times(pairs, name)), default=0.0)


def _cut(pairs: Pairs, name: str) -> float | None:
    """Return the last update that was tried, where a model or an oracle was not relearned by then."""
    return _last(pairs, name) if any(time.censored for time in _times(pairs, name)) else None


def _unequal(evidence: Evidence, read: Reading) -> Note | None:
    return evidence.unequal(read) if read.at.kind == "end" else None


def _both_of(evidence: Evidence, read: Reading, name: str, attack: str, part: int) -> tuple[Floats, Floats]:
    """Return by seed, for either side, the gap (``part`` 0) or the floor (1) of one attack."""
    sides = evidence.read(lambda track: _of(track, name).single.get(attack, NEITHER)[part], read.pairs)
    return sides.left, sides.right


def _within(evidence: Evidence, read: Reading, name: str, worst: Sides, floors: Sides) -> Note | None:
    """Return why no difference of R may be given a direction: the floor is not known well enough, or no attack shows more than its floor."""
    if not worst.n:
        return None
    known = int(np.isfinite(evidence.by_unit(floors.differences)).sum())
    if known < FEWEST:
        return Note("few_floors", {"seeds": known, "unit": "seeds" if evidence.units is None else evidence.units.noun})
    attacks = sorted({attack for pair in read.pairs.values() for track in pair for attack in _of(track, name).single})
    gaps, between = (
        interval_of(
            [evidence.by_unit(row) for attack in attacks for row in _both_of(evidence, read, name, attack, part)],
            evidence.claims.alpha,
        )
        for part in (0, 1)
    )
    hides = together(word(own, two) for own, two in zip(gaps, between, strict=True)) == "hidden"
    return None if hides else Note("within_floor")


def places_of(recipe: Recipe) -> dict[str, str]:
    """Return, by the label of a method, the name of the place at which the headline reads it; empty where nothing is compared."""
    headline = resolved(recipe)
    if headline is None or headline.target is None:
        return {}

    def place(method: Unlearner) -> str:
        return place_label(At("end") if method.self_stopping else At.target(headline.target))  # type: ignore[arg-type]

    return {method.label: place(method) for method in recipe.unlearn if not method.from_scratch}


def headline_standings(stress: pd.DataFrame, recipe: Recipe, alpha: float | None = None) -> pd.DataFrame:
    """Return which methods have forgotten and which have hidden, at the headline's place and on both of its sides; see :func:`~ungrok.study.stress.over_attacks`.

    Args:
        stress: The study's table ``stress``.
        recipe: Its recipe.
        alpha: One minus the level of the intervals, which hold together; the recipe's when None.

    """
    headline, places = resolved(recipe), places_of(recipe)
    sides = headline.compare if headline and headline.compare else ()
    level = recipe.claims.alpha if alpha is None else alpha

    def chosen(worst: pd.DataFrame) -> pd.DataFrame:
        of_side: list[Any] = [
            (worst["arm"] == side.arm)
            & (worst["stage"] == stage_name(side.stage))
            & (not side.forget or worst["forget"] == side.forget)
            for side in sides
        ]
        at_place = worst["place"] == worst["method"].map(places)
        judged = worst["forget"].map(lambda label: headline is not None and covers(headline, label)).astype(bool)
        kept: pd.DataFrame = worst[
            np.logical_or.reduce([*of_side, np.zeros(len(worst), dtype=bool)]) & at_place & judged
        ]
        return kept

    return standings_of(stress, chosen, level, paired=swaps(recipe))[0]
