"""Over studies: which claims hold in all settings, in some or in none, how far the effects lie apart, and what one study decides.

A setting is a recipe, a forget split and a family of methods. Its effect is the median over its methods, which share models and so are no
independent evidence. Effects of settings are never pooled into one number: their median stands beside their range and their standard
deviation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ungrok.report.evidence import Evidence
from ungrok.study.claims import every_claim
from ungrok.study.claims.efficiency import READINGS
from ungrok.study.verdict_file import FiledVerdict

SettingWord = Literal["supported", "refuted", "mixed", "inconclusive", "exploratory"]

WORDS: tuple[SettingWord, ...] = ("supported", "refuted", "mixed", "inconclusive", "exploratory")

Extent = Literal["all", "some", "none", ""]
"""In how many of the settings that were judged; empty where none was."""


@dataclass(frozen=True)
class Setting:
    """The verdicts on one recipe, forget split and family of methods.

    Args:
        recipe: Name of the recipe.
        forget: Label of the forget split.
        family: The family.
        rows: The verdicts, one per method.

    """

    recipe: str
    forget: str
    family: str
    rows: tuple[FiledVerdict, ...]

    @property
    def word(self) -> SettingWord:
        """The word of all rows; mixed where they say opposite things, inconclusive where some are open."""
        words = {row.verdict for row in self.rows}
        if {"supported", "refuted"} <= words:
            return "mixed"
        return words.pop() if len(words) == 1 else "inconclusive"

    @property
    def effect(self) -> float | None:
        """The median over methods, in the unit of the rows; None where no row has an effect."""
        known = [row.effect for row in self.rows if row.effect is not None]
        return float(np.median(known)) if known else None

    def to_dict(self) -> dict[str, Any]:
        """Return the setting as plain JSON types."""
        place = {"recipe": self.recipe, "forget": self.forget, "family": self.family}
        said = {"effect": self.effect, "verdict": self.word}
        return place | said | {"rows": [row.to_dict() for row in self.rows]}


@dataclass(frozen=True)
class Tally:
    """What some settings say together.

    Args:
        settings: The settings; those that are exploratory are counted and used for nothing else.

    """

    settings: tuple[Setting, ...]

    @cached_property
    def counts(self) -> dict[SettingWord, int]:
        """The number of settings by word."""
        words = [setting.word for setting in self.settings]
        return {word: words.count(word) for word in WORDS}

    @property
    def judged(self) -> list[Setting]:
        """The settings that are not exploratory."""
        return [setting for setting in self.settings if setting.word != "exploratory"]

    def extent(self, word: SettingWord) -> Extent:
        """Return in how many of the settings that were judged a word stands."""
        count, total = self.counts[word], len(self.judged)
        if not total:
            return ""
        return "all" if count == total else "some" if count else "none"

    @property
    def spread(self) -> dict[str, float | int | None]:
        """The median effect with the least, the largest and the standard deviation between settings (n − 1), over those judged."""
        known = [setting.effect for setting in self.judged if setting.effect is not None]
        if not known:
            return {"settings": 0, "median": None, "least": None, "largest": None, "sd": None}
        sd = float(np.std(known, ddof=1)) if len(known) > 1 else None
        middle = float(np.median(known))
        return {"settings": len(known), "median": middle, "least": min(known), "largest": max(known), "sd": sd}

    def to_dict(self) -> dict[str, Any]:
        """Return the tally as plain JSON types."""
        extents = {"supported_in": self.extent("supported"), "refuted_in": self.extent("refuted")}
        return extents | {"counts": dict(self.counts), "effect": self.spread}


@dataclass(frozen=True)
class Question:
    """A claim in one reading, in one unit, over settings.

    Args:
        claim: Kind of the claim.
        reading: How it was read; empty where there is one way.
        unit: The unit of all effects.
        settings: The settings in which it was asked, by recipe.

    """

    claim: str
    reading: str
    unit: str
    settings: tuple[Setting, ...]

    @property
    def whole(self) -> Tally:
        """What all settings say."""
        return Tally(self.settings)

    @property
    def without(self) -> dict[str, Tally]:
        """What is left without each recipe in turn; empty where there is one recipe only."""
        recipes = list(dict.fromkeys(setting.recipe for setting in self.settings))
        rest = {name: tuple(one for one in self.settings if one.recipe != name) for name in recipes}
        return {name: Tally(own) for name, own in rest.items() if own}

    @property
    def decided_by(self) -> list[str]:
        """The recipes without which a claim would be supported, or refuted, in another extent: all, some or none."""
        whole = self.whole
        return [
            name
            for name, rest in self.without.items()
            if any(rest.extent(word) != whole.extent(word) for word in ("supported", "refuted"))
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the question with all that answers it as plain JSON types."""
        asked = {"claim": self.claim, "reading": self.reading, "unit": self.unit} | self.whole.to_dict()
        rest = {name: tally.to_dict() for name, tally in self.without.items()}
        settings = [setting.to_dict() for setting in self.settings]
        return asked | {"without": rest, "decided_by": self.decided_by, "settings": settings}


def questions(every: Sequence[Evidence]) -> list[Question]:
    """Return every claim, reading and unit that has headline verdicts, claims and readings in the order of reports."""
    kinds, readings = [claim.kind for claim in every_claim()], ["", *READINGS]

    def rank(asked: Question) -> tuple[int, int]:
        return _place(asked.claim, kinds), _place(asked.reading, readings)

    rows: dict[tuple[str, str, str], dict[tuple[str, str, str], list[FiledVerdict]]] = {}
    for recipe, family, row in _rows(every):
        places = rows.setdefault((row.claim, row.reading, row.measure), {})
        places.setdefault((recipe, row.setting.forget, family), []).append(row)
    asked = [
        Question(*about, tuple(Setting(*place, tuple(own)) for place, own in places.items()))
        for about, places in rows.items()
    ]
    return sorted(asked, key=rank)


def _place(name: str, names: Sequence[str]) -> int:
    """Return where a name stands in a list; those that a plug-in brought come last."""
    return names.index(name) if name in names else len(names)


def _rows(every: Sequence[Evidence]) -> Iterator[tuple[str, str, FiledVerdict]]:
    """Yield the headline rows of each study's first comparison: others that are judged with it ask something else."""
    for one in every:
        for row in one.verdicts:
            if row.headline and row.comparison == one.verdicts[0].comparison:
                yield one.recipe, one.family(row.setting.method), row
