"""What a claim is, and its evidence: the paths of one method from both sides of a comparison."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ungrok.core.registry import Registry
from ungrok.core.schema import Schema
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At, Doses, Scale, Target, Wins
from ungrok.study.recipe_blocks import Claims
from ungrok.study.recipe_search import search_target
from ungrok.study.recipe_stress import lasting_target
from ungrok.study.search import Choice, best, chosen
from ungrok.study.track import Row, Track
from ungrok.study.units import Units

Floats = NDArray[np.float64]

Pair = tuple[Track, Track]
"""The paths of both sides of one seed, left first."""

Pairs = dict[int, Pair]
"""The paths of both sides by the place of the seed in the recipe; seeds that lack a side are left out."""

Read = Callable[[Track], float | None]
"""Reads a value from one path; None where there is none."""

UNEQUAL = 0.05
"""What forgetting costs is not compared where mean UA differs by more."""

ONLY_BEYOND_ORACLE = Note("only_beyond_oracle")
"""What is said of a difference from the oracle that models by themselves do not show."""

GAPS = ("nothing", "undefined")
"""What a path is at a target where nothing can be compared."""


@dataclass(frozen=True)
class Sides:
    """One value per seed on both sides.

    Args:
        left: Shape (seeds,), NaN where there is no value.
        right: The same of the later side.

    """

    left: Floats
    right: Floats

    @cached_property
    def both(self) -> NDArray[np.bool_]:
        """Whether a seed has both values, shape (seeds,)."""
        return np.isfinite(self.left) & np.isfinite(self.right)

    @property
    def differences(self) -> Floats:
        """Left minus right, shape (seeds,), NaN where a value is missing."""
        return np.where(self.both, self.left - self.right, np.nan)

    @property
    def n(self) -> int:
        """Seeds that have both values."""
        return int(self.both.sum())


class Reading(NamedTuple):
    """A place at which paths are read.

    Args:
        at: Its name.
        pairs: The paths.
        notes: What a reader should know.
        row: Finds the row of the place on a path.
        reading: ``same_rate`` where the headline is read at each side's own rate instead.

    """

    at: At
    pairs: Pairs
    notes: tuple[Note, ...]
    row: Callable[[Track], Row | None]
    reading: str = ""


def _at_target(track: Track, target: Target) -> Row | None:
    return track.at(target)


@dataclass(frozen=True)
class Evidence:
    """The paths of one method from both sides of a comparison.

    Args:
        pairs: The paths, for the seeds that have both; at least one pair.
        seeds: Number of seeds of the study.
        method: Label of the method.
        doses: Where its paths end and where doses are matched.
        claims: The recipe's block.
        rates: By learning rate, the paths of a search, those of the method's own rate among them; empty where none was searched.
        damage: The largest damage beyond the oracle with which a rate counts as usable.
        from_scratch: Whether the method starts from fresh weights, so that the dose at which it reaches a target tells nothing about the stage.
        self_stopping: Whether the method decides by itself where to stop, so that it is judged at its end.
        repaired: At which of its rates it was tried where forgetting lasts: its own alone, or all of a search; empty where it was not.
        units: The units of inference; one per seed when None.
        exposed: Whether the training showed some examples early and some late.

    """

    pairs: Pairs
    seeds: int
    method: str
    doses: Doses
    claims: Claims
    rates: Mapping[float, Pairs] = field(default_factory=dict)
    damage: float = 0.0
    from_scratch: bool = False
    self_stopping: bool = False
    repaired: Literal["", "nominal", "all"] = ""
    units: Units | None = None
    exposed: bool = False
    _chosen: dict[float, dict[int, tuple[Choice | None, Choice | None]]] = field(default_factory=dict, repr=False)

    @property
    def one_shot(self) -> bool:
        """Whether the method's dose is a strength."""
        return next(iter(self.pairs.values()))[0].one_shot

    @property
    def matched(self) -> At:
        """The place at the matched dose."""
        return At.matched(self.doses.matched, one_shot=self.one_shot)

    def has(self, name: str) -> bool:
        """Return whether every path starts with a value of a metric."""
        return all(number(track.start, name) is not None for pair in self.pairs.values() for track in pair)

    def read(self, read: Read, pairs: Pairs | None = None) -> Sides:
        """Return what is read from both paths of every seed."""
        values = np.full((2, self.seeds), np.nan)
        for seed, pair in (self.pairs if pairs is None else pairs).items():
            values[:, seed] = [np.nan if value is None else value for value in map(read, pair)]
        return Sides(*values)

    def by_unit(self, values: Floats) -> Floats:
        """Return values of seeds as those of the units of inference, shape (units,)."""
        return values if self.units is None else self.units.means(values)

    def usable(self, target: Target) -> tuple[Pairs, tuple[Note, ...]]:
        """Return the pairs that can be compared at a target, and notes on the others; pairs that never reach it stay."""
        if self.from_scratch:
            return {}, (Note("fresh_weights"),)
        total = len(self.pairs)
        states = {seed: (left.status(target), right.status(target)) for seed, (left, right) in self.pairs.items()}
        usable = {seed: pair for seed, pair in self.pairs.items() if not set(GAPS) & set(states[seed])}
        notes = []
        for state, code in zip(GAPS, ("nothing_to_forget", "no_oracle"), strict=True):
            count = sum(state in both for both in states.values())
            if count:
                notes.append(Note(code, {"count": count, "pairs": total}))
        before, after = (sum(state[side] == "censored" for state in states.values()) for side in (0, 1))
        if before or after:
            notes.append(Note("not_reached", {"before": before, "after": after, "pairs": total}))
        return usable, tuple(notes)

    def searched(self, target: Target) -> bool:
        """Return whether every side has its own rate at a target: paths of a search end at its target, lower ones are beyond them."""
        return bool(self.rates) and not isinstance(target, str) and target >= search_target(self.claims)

    def own_rates(self, target: float) -> dict[int, tuple[Choice | None, Choice | None]]:
        """Return, for each seed that has both sides, the rate that is best for either, chosen from its own paths on validation data."""
        if target not in self._chosen:
            self._chosen[target] = {
                seed: (self._own(seed, 0, target), self._own(seed, 1, target)) for seed in self.pairs
            }
        return self._chosen[target]

    def _own(self, seed: int, side: int, target: float) -> Choice | None:
        paths = {rate: pairs[seed][side] for rate, pairs in self.rates.items() if seed in pairs}
        return chosen(paths, target, self.damage)

    def _at_own_rates(self, pairs: Pairs, target: float) -> Pairs:
        """Return the pairs with each path replaced by that at its side's own rate, where one reaches the target."""
        choices = self.own_rates(target)

        def path(seed: int, side: int) -> Track:
            choice = choices[seed][side]
            return pairs[seed][side] if choice is None else self.rates[choice.rate][seed][side]

        return {seed: (path(seed, 0), path(seed, 1)) for seed in pairs}

    def places(self) -> Iterator[Reading]:
        """Yield where distance, damage, gap and spread are read: at each target, or at the end for methods that stop by themselves.

        Where rates were searched, first at each side's own rate and then, as the reading ``same_rate``, at identical settings.
        """
        if self.self_stopping:
            yield Reading(At("end"), self.pairs, (Note("self_stopping"),), lambda track: track.end)
            return
        for target in self.claims.targets:
            pairs, notes = self.usable(target)
            place = partial(_at_target, target=target)
            if self.searched(target) and pairs:
                own = self._at_own_rates(pairs, float(target))
                yield Reading(At.target(target), own, (Note("own_rate"),), place)
                yield Reading(At.target(target), pairs, notes, place, "same_rate")
            else:
                yield Reading(At.target(target), pairs, notes, place)

    def lasting(self) -> Reading | None:
        """Return where forgetting lasts: the first place that stands the repair, of the level of UA that the repair was tried for.

        Where the rates of a search were tried too, it is read at each side's own rate: the one that is best for lasting, chosen by the
        rule of :func:`~ungrok.study.search.chosen`. None where no path was tried.
        """
        if not self.repaired or not any(track.repaired for pair in self._every_pair() for track in pair):
            return None
        target = lasting_target(self.claims)
        pairs, notes = self.usable(target)
        own = self.repaired == "all" and self.searched(target) and bool(pairs)
        if own:
            rates = {(seed, side): self._rate_to_last(seed, side) for seed in pairs for side in (0, 1)}
            paths = {
                at: self.pairs[at[0]][at[1]] if r is None else self.rates[r][at[0]][at[1]] for at, r in rates.items()
            }
            pairs = {seed: (paths[seed, 0], paths[seed, 1]) for seed in pairs}
            at_end = sum(rate in (min(self.rates), max(self.rates)) for rate in rates.values())
            ends = (Note("end_of_grid", {"count": at_end, "paths": len(paths)}),) if at_end else ()
            notes = (Note("own_rate"), *ends, *notes)
        lost = [sum(pair[side].lasting() is None for pair in pairs.values()) for side in (0, 1)]
        if any(lost):
            notes = (*notes, Note("not_lasting", {"before": lost[0], "after": lost[1], "pairs": len(pairs)}))
        fails = sum(not all(row["monotone"] for row in track.repaired) for pair in pairs.values() for track in pair)
        if fails:
            notes = (*notes, Note("not_monotone", {"count": fails, "paths": 2 * len(pairs)}))
        return Reading(At.target(target), pairs, notes, Track.lasting, "" if own else "same_rate")

    def _every_pair(self) -> Iterator[Pair]:
        yield from self.pairs.values()
        for pairs in self.rates.values():
            yield from pairs.values()

    def _rate_to_last(self, seed: int, side: int) -> float | None:
        """Return the rate that is best for lasting; None where it lasts at none."""
        paths = {rate: pairs[seed][side] for rate, pairs in self.rates.items() if seed in pairs}
        choice = best({rate: (path, path.lasting()) for rate, path in paths.items()}, self.damage)
        return None if choice is None else choice.rate

    def unequal(self, read: Reading) -> Note | None:
        """Return the note that says by how much forgetting differs at a place, where it is too much for costs to be compared."""
        ua = self.read(lambda track: number(read.row(track), "UA"), read.pairs)
        before, after = mean(ua.left[ua.both]), mean(ua.right[ua.both])
        return Note("unequal_forgetting", {"before": before, "after": after}) if abs(before - after) > UNEQUAL else None

    def started(self, name: str) -> Note:
        """Return the note that says from which mean values of a metric both sides started."""
        starts = self.read(lambda track: number(track.start, name))
        return Note("started", {"before": mean(starts.left), "after": mean(starts.right)})


@dataclass(frozen=True)
class Finding:
    """Values of both sides that await their verdict.

    Args:
        claim: What is claimed.
        method: Label of the method.
        metric: What was measured.
        at: Where on the path.
        sides: One value per seed on both sides, a larger left one agreeing with the claim; None where nothing could be compared.
        unit: What is counted.
        margin: The largest effect that does not matter, in the unit of the effect.
        notes: What a reader should know.
        reading: How the claim was read, where there are several ways.
        compares: Whether means or spreads over seeds are compared.
        scale: How the effect is to be understood; spreads and logarithms give log ratios.
        cut_at: The dose at which times were cut off.
        accuracy: Whether the values are accuracies, which may collapse in single seeds.
        barred: Why no word may be given, where that is so.
        wins: Which side took fewer updates, by pairs.
        also: Values of which the same direction must hold too, or none is named; None where there is no such condition.
        otherwise: What is said where these have another.
        identical: Whether both sides have identical settings although each has a rate of its own elsewhere. Such a row is tested after the
            others, which then do not depend on the rates of the recipe.

    """

    claim: Claim
    method: str
    metric: str
    at: At
    sides: Sides | None
    unit: str
    margin: float
    notes: tuple[Note, ...] = ()
    reading: str = ""
    compares: Literal["means", "spreads"] = "means"
    scale: Scale = "difference"
    cut_at: float | None = None
    accuracy: bool = False
    barred: Note | None = None
    wins: Wins | None = None
    also: Sides | None = None
    otherwise: Note = ONLY_BEYOND_ORACLE
    identical: bool = False

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What tells a finding from others of the same comparison."""
        return self.claim.kind, self.reading, self.method, self.metric, self.at.family


class Claim(Schema):
    """A falsifiable statement about two sides of a comparison. Subclasses say the following and yield findings.

    Every effect is oriented so that a positive value agrees with the paper (arXiv 2512.03437).
    """

    kind: str

    statement: ClassVar[str]
    """The claim as a sentence; ``{later}`` stands for what the later side is called."""

    advantage: ClassVar[str]
    """What the claim says of the later side, as the rest of a sentence, for instance ``needs fewer updates``."""

    title: ClassVar[str]
    """The claim as prose names it."""

    family: ClassVar[str | None] = None
    """The kind of model that the claim is about, ``classifier`` or ``language``; None for both."""

    rank: ClassVar[int] = 100
    """Claims stand in reports in this order, equal ranks by name."""

    @abstractmethod
    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield values per metric and place, for one method; nothing where the paths lack what is measured."""

    def without_pairs(self, method: str) -> Iterator[Finding]:  # noqa: ARG002
        """Yield what is said of a method of which no seed has both sides; nothing where another claim says it."""
        yield from ()

    def headline(self, finding: Finding, accuracy: str) -> str | None:  # noqa: ARG002
        """Return the metric of the headline family that a finding at the headline's place stands for, if any.

        Args:
            finding: A finding of this claim.
            accuracy: The accuracy by which damage is judged: bystander accuracy, or TA where there are no bystanders.

        """
        return None

    def headline_place(self, place: At, evidence: Evidence, finding: Finding) -> At:  # noqa: ARG002
        """Return where the headline family reads a finding of this claim, given its own place: its target, or the end of the path."""
        return place

    def sentence(self, later: str = "later stage") -> str:
        """Return the statement, the later side called as given."""
        return self.statement.format(later=later)


CLAIMS: Registry[Claim] = Registry("claim", "ungrok.claims", ("ungrok.study.claims", "CLAIMS.register"), Claim)


def every_claim() -> list[Claim]:
    """Return an instance of each claim, plug-ins included, in the order of reports."""
    classes = [CLAIMS.get(name) for name in CLAIMS.names()]
    return [cls.model_validate({}) for cls in sorted(classes, key=lambda cls: cls.rank)]


def number(row: Row | None, name: str) -> float | None:
    """Return a value of a row; None for a row that is not there and for a value that is missing."""
    value = None if row is None else row.get(name)
    return None if value is None or pd.isna(value) else float(value)


def mean(values: Floats | Sequence[float]) -> float:
    """Return the mean of the values that are there; NaN where none is."""
    there = np.asarray(values, dtype=float)
    there = there[np.isfinite(there)]
    return float(there.mean()) if len(there) else float("nan")


def fall(track: Track, row: Row | None, name: str, suffix: str = "") -> float | None:
    """Return how far an accuracy has fallen from the start of a path to a row, whose column has a suffix; None where either is missing."""
    start, now = number(track.start, name), number(row, name + suffix)
    return None if start is None or now is None else start - now
