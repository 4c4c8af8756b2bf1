"""The answer to "Does forgetting last?": what stands a repair, and what attacks bring back, in sentences and in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

import pandas as pd

from ungrok.core.errors import spoken
from ungrok.study.claims.durability import headline_standings
from ungrok.study.claims.headline import resolved
from ungrok.study.claims.lasting import Lasts, lasting_sentence
from ungrok.study.names import Names
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import Side
from ungrok.train.stages import stage_name

QUESTION = "Does forgetting last?"

STANDINGS = (
    ("hidden", "has hidden what it was to forget", "have hidden what they were to forget"),
    ("forgotten", "has forgotten", "have forgotten"),
    ("undecided", "is undecided", "are undecided"),
)
"""By the word for R: what is said of one method and of several; see :func:`ungrok.study.stress.standings`."""


@dataclass(frozen=True)
class Durable:
    """What a study answers, at the place of its headline.

    Args:
        sentences: What repairs show, then what attacks show; what the study did not ask, or cannot say, is left out.
        lasting: What became of the forgetting of every method on both sides, of :func:`~ungrok.study.claims.lasting.lasting_of`.
        standings: Which methods have forgotten and which have hidden, of :func:`~ungrok.study.claims.durability.headline_standings`.

    """

    sentences: tuple[str, ...]
    lasting: Sequence[Lasts]
    standings: pd.DataFrame

    def to_dict(self) -> dict[str, Any] | None:
        """Return the question, the answer as ``text``, and its numbers as plain types; None where there is no answer."""
        if not self.sentences:
            return None
        return {
            "question": QUESTION,
            "text": " ".join(self.sentences),
            "lasting": [_plain({one.name: getattr(each, one.name) for one in fields(each)}) for each in self.lasting],
            "attacks": [_plain(row) for row in self.standings.to_dict("records")],
        }


def durable_of(lasting: Sequence[Lasts], recipe: Recipe, stress: pd.DataFrame) -> Durable:
    """Return a study's answer.

    Args:
        lasting: Of :func:`~ungrok.study.claims.lasting.lasting_of`; empty where no place was put to a repair.
        recipe: The study's recipe.
        stress: Its table of attacks after unlearning; empty where there were none.

    """
    standings = pd.DataFrame() if stress.empty or resolved(recipe) is None else headline_standings(stress, recipe)
    sentences = (lasting_sentence(lasting, recipe), attacked_sentence(standings, recipe))
    return Durable(tuple(filter(None, sentences)), lasting, standings)


def attacked_sentence(standings: pd.DataFrame, recipe: Recipe) -> str | None:
    """Return what attacks say of the forgetting at the headline's place, side by side; None where none had an oracle beside it.

    Args:
        standings: Of :func:`~ungrok.study.claims.durability.headline_standings`.
        recipe: The study's recipe.

    """
    headline, said = resolved(recipe), []
    if standings.empty or headline is None or headline.compare is None:
        return None
    for side in headline.compare:
        own = standings[(standings["arm"] == side.arm) & (standings["stage"] == stage_name(side.stage))]
        own = own[own["forget"] == side.forget] if side.forget else own
        if len(own):
            said.append(f"{Names(recipe).placed(side)} {_standing(own)}")
    return f"Under attack, {'; '.join(said)}." if said else None


def _standing(rows: pd.DataFrame) -> str:
    """Return how many methods have hidden, and how many forgotten, with the mean worst gap and the floor."""
    counts, several = rows["word"].value_counts(), len(rows)
    of = f" of {several} {'methods' if rows['method'].nunique() == several else 'settings'}"
    parts: list[str] = []
    for word, one, many in STANDINGS:
        if word in counts.index:
            count = f"{counts[word]}{'' if parts else of}" if several > 1 else "the one method"
            parts.append(f"{count} {one if counts[word] == 1 else many}")
    floors = rows["floor"].dropna()
    floor = f" (two oracles differ by {floors.mean():.2f})" if len(floors) else ""
    return f"{spoken(parts)}: the worst gap to the oracle is {rows['gap'].mean():.2f} on average{floor}"


def _plain(values: dict[Any, Any]) -> dict[str, Any]:
    """Return values as JSON has them: a side by its label, and null for what is missing or has no bound."""

    def plain(value: Any) -> Any:
        if isinstance(value, Side):
            return value.label
        return None if isinstance(value, float) and not isfinite(value) else value

    return {str(name): plain(value) for name, value in values.items()}
