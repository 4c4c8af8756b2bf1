"""Verdicts and what they are made of: where a claim was read, its effect, its notes, and the word."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ungrok.study.claims.notes import Note
from ungrok.study.place import Comparison
from ungrok.study.statistics import Estimate

if TYPE_CHECKING:
    from ungrok.study.claims.base import Claim

Word = Literal["supported", "refuted", "inconclusive", "exploratory"]

WORDS: tuple[Word, ...] = ("supported", "refuted", "inconclusive", "exploratory")

Scale = Literal["difference", "log ratio"]
"""How two sides are compared: left minus right, or the logarithm of left over right."""

Target = float | str
"""A level of UA, or ``"oracle"``."""

NO_DIFFERENCE = ("no_difference", "no_difference_in_most")
"""Codes of the notes with which a row is refuted because its effect is too small to matter."""

RARE = 0.1
"""No difference of accuracies is claimed unless at most this share of seeds can differ by more than the margin."""


class Doses(NamedTuple):
    """Two doses of a method, in updates, or strengths for one-shot methods.

    Args:
        end: Where its paths end.
        matched: Where both sides of a comparison are read at the same dose.

    """

    end: float
    matched: float


class Wins(NamedTuple):
    """Pairs by which side took fewer updates; shown beside a ratio of restricted updates, and not tested.

    Args:
        fewer: Pairs in which the later side took fewer.
        more: Pairs in which it took more.
        undecided: Pairs in which both took as many, or neither got there.

    """

    fewer: int
    more: int
    undecided: int

    @property
    def net(self) -> int:
        """Fewer minus more; positive agrees with the claim."""
        return self.fewer - self.more


@dataclass(frozen=True)
class At:
    """Where on a path a claim was read.

    Args:
        kind: ``target``, where UA first reached ``level``; ``dose``, at the same ``dose`` on both sides; ``rewind``, where rewinding
            would stop; ``end``, at the end of the path; ``any``, where nothing could be read at all.
        level: The target of ``target``.
        dose: The dose of ``dose``.
        one_shot: Whether that dose is a strength.

    """

    kind: Literal["target", "dose", "rewind", "end", "any"]
    level: Target | None = None
    dose: float | None = None
    one_shot: bool = False

    @classmethod
    def target(cls, level: Target) -> At:
        """Return the place where UA first reached a level."""
        return cls("target", level=level)

    @classmethod
    def matched(cls, dose: float, *, one_shot: bool) -> At:
        """Return the place at a dose."""
        return cls("dose", dose=dose, one_shot=one_shot)

    def __str__(self) -> str:
        """Return the place as tables name it, for instance ``UA ≤ 0.1`` or ``update 40``."""
        if self.kind == "target":
            return f"UA ≤ {self.level if isinstance(self.level, str) else format(self.level, 'g')}"
        if self.kind == "dose":
            return f"{'strength' if self.one_shot else 'update'} {self.dose:g}"
        return {"rewind": "rewind", "end": "end of the path", "any": "any target"}[self.kind]

    @property
    def family(self) -> str:
        """A name that methods share if they are read alike: matched doses are one setting, whatever their number."""
        return "dose" if self.kind == "dose" else str(self)


def place_name(at: At) -> str:
    """Return the words for a place on a path, for instance ``UA ≤ 0.1`` or ``UA ≤ that of the oracle``."""
    return "UA ≤ that of the oracle" if at.kind == "target" and at.level == "oracle" else str(at)


def where_name(where: str) -> str:
    """Return the words for an attacked place on a path, for instance ``UA ≤ 0.1`` or ``the end``."""
    words = {"oracle": place_name(At.target("oracle")), "rewound": "the rewound place", "end": "the end"}
    return words.get(where, f"UA ≤ {where}")


@dataclass(frozen=True)
class Effect:
    """The size of a difference between two sides; positive agrees with the claim.

    Args:
        value: Its estimate; None where none could be given.
        interval: Its ends, infinite where there is no bound.
        unit: What is counted, for instance ``accuracy``; empty where nothing was.
        scale: How the sides are compared.
        cut_at: The dose at which times were cut off because some side did not reach the target; None where none was.

    """

    value: float | None = None
    interval: tuple[float, float] = (-inf, inf)
    unit: str = ""
    scale: Scale = "difference"
    cut_at: float | None = None

    @classmethod
    def of(
        cls, estimate: Estimate | None, unit: str = "", scale: Scale = "difference", cut_at: float | None = None
    ) -> Effect:
        """Return the effect that was estimated, if one was."""
        if estimate is None or not isfinite(estimate.effect):
            return cls(None, (-inf, inf), unit, scale, cut_at)
        low = estimate.low if isfinite(estimate.low) else -inf
        high = estimate.high if isfinite(estimate.high) else inf
        # Adding zero turns −0.0 into 0.0.
        return cls(float(estimate.effect) + 0.0, (float(low) + 0.0, float(high) + 0.0), unit, scale, cut_at)

    @property
    def measure(self) -> str:
        """The scale, the unit and what it was restricted to, for instance ``log ratio of updates``."""
        name = f"{self.scale} of {self.unit}" if self.scale == "log ratio" else self.unit
        return name if self.cut_at is None else f"{name}, restricted to {self.cut_at:g}"


@dataclass(frozen=True)
class Verdict:
    """A claim judged for one comparison, method, metric and place.

    Args:
        claim: What is claimed.
        reading: How it was read, for instance ``same_rate``; empty where there is one way only.
        comparison: The two sides and their forget splits.
        method: Label of the method.
        metric: What was measured.
        at: Where on the path.
        headline: Whether it belongs to the headline family, in which alone words are given.
        effect: How large the difference is; the intervals of the headline family hold together.
        n_seeds: Number of seeds that it comes from.
        p_value: Of the headline family adjusted for all its rows, else of the row alone; None without an effect.
        word: ``supported``, ``refuted`` or ``inconclusive`` in the headline family; else ``exploratory``.
        notes: What a reader should know, the reason for the word first.
        wins: Where updates are compared: which side took fewer, by pairs.

    """

    claim: Claim
    reading: str
    comparison: Comparison
    method: str
    metric: str
    at: At
    headline: bool
    effect: Effect
    n_seeds: int
    p_value: float | None
    word: Word
    notes: tuple[Note, ...] = ()
    wins: Wins | None = None

    @property
    def note(self) -> str:
        """All notes as one text."""
        return "; ".join(note.text for note in self.notes)

    @property
    def no_difference(self) -> bool:
        """Whether it is refuted because its effect is too small to matter."""
        return any(map(self.noted, NO_DIFFERENCE))

    @property
    def directional(self) -> bool:
        """Whether its word names a direction."""
        return self.word in ("supported", "refuted") and not self.no_difference

    def noted(self, code: str) -> bool:
        """Return whether there is a note of this code."""
        return any(note.code == code for note in self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as ``verdicts.json`` holds it; an end without a bound is null."""
        low, high = self.effect.interval
        return {
            "claim": self.claim.kind,
            "reading": self.reading,
            "comparison": self.comparison.label,
            "setting": {
                "forget": self.comparison.forget, "method": self.method, "metric": self.metric, "at": str(self.at)
            },
            "headline": self.headline,
            "effect": self.effect.value,
            "unit": self.effect.measure,
            "ci_low": low if isfinite(low) else None,
            "ci_high": high if isfinite(high) else None,
            "n_seeds": self.n_seeds,
            "p_value": self.p_value,
            "verdict": self.word,
            "wins": None if self.wins is None else self.wins._asdict(),
            "notes": [{"code": note.code, "text": note.text} for note in self.notes],
        }  # fmt: skip


def decide(
    estimate: Estimate, margin: float, *, bounds_only: bool = False, larger: float | None = None
) -> tuple[Word, Note | None]:
    """Judge a claim by its simultaneous interval, oriented so that a positive effect agrees with the claim.

    A direction is named exactly where the interval leaves out zero. Where the whole interval lies within the margin, the effect is
    too small to matter and the claim is refuted, but only where that can be known: a value of which nothing but a bound is known may
    lie anywhere beyond it, and accuracies may collapse in seeds that were not drawn.

    Args:
        estimate: Effect and simultaneous interval.
        margin: The largest effect that does not matter, in the unit of the effect.
        bounds_only: Whether some pair holds a value of which only a bound is known.
        larger: For accuracies, the upper bound of the share of seeds that differ by more than the margin; None for other units.

    Returns:
        The word, and the reason where the direction alone does not give it.

    """
    if estimate.low > 0:
        return "supported", None
    if estimate.high < 0:
        return "refuted", None
    if not (-margin < estimate.low and estimate.high < margin):
        return "inconclusive", Note("across_zero")
    if bounds_only:
        return "inconclusive", Note("within_but_censored", {"margin": margin})
    if larger is None:
        return "refuted", Note(NO_DIFFERENCE[0], {"margin": margin})
    code = NO_DIFFERENCE[1] if larger <= RARE else "within_but_rare"
    word: Word = "refuted" if larger <= RARE else "inconclusive"
    return word, Note(code, {"margin": margin, "share": larger})
