"""The mechanism part of the report: measures beside their nulls, and whether they predict what unlearning costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ungrok.core.errors import RecipeError, spoken
from ungrok.report.format import MISSING, bracketed, fixed, missing
from ungrok.report.view import View
from ungrok.study.folder import StudyFolder
from ungrok.study.mediation import CHANGES, MEASURE, changes, headline, mediation, pooled
from ungrok.study.names import metric_name

MEASURE_ALONE = [column for column in MEASURE if column != "on"]


IN_WORDS = {name: name for name in ("yes", "no", "unknown")} | {"associated": "associated over these arms"}
"""What is said of each answer of :func:`ungrok.study.mediation.mediation`."""


@dataclass(frozen=True)
class Mechanism:
    """The measures of a study as the report sees them; empty where the recipe analyzes nothing."""

    view: View

    @cached_property
    def before(self) -> pd.DataFrame:
        """Values and nulls at stages, before unlearning."""
        table = self.view.results.mechanism
        return table[table["method"] == ""]

    def headline(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return what of a table of measures stands in tables and figures; see :func:`ungrok.study.mediation.headline`."""
        return headline(table, self.view.recipe.analyze)

    @cached_property
    def points(self) -> pd.DataFrame:
        """Changes of measures and of costs from the first stage of the base arm."""
        if self.before.empty:  # without measures, costs need not be ranked
            return pd.DataFrame(columns=CHANGES)
        return changes(self.view.results.rows, self.before, self.view.recipe, self.view.doses)

    @cached_property
    def mediation(self) -> pd.DataFrame:
        """Whether changes of measures predict changes of costs; see :func:`ungrok.study.mediation.mediation`."""
        return mediation(self.points, self.view.recipe.claims.alpha)

    def sentences(self) -> list[str]:
        """Return one sentence per measure: does it predict the cost of unlearning beyond test accuracy?"""
        texts = []
        for key, group in self.mediation.groupby(MEASURE_ALONE, sort=False) if len(self.points) else ():
            said = [f"{outcome}: {_said(own)}" for outcome, own in group.groupby("outcome", sort=False)]
            name, _ = named([*key[:2], "", key[2]])
            texts.append(f"{name}: does it predict beyond test accuracy? {'; '.join(said)}.")
        return [*texts, *few_places(self.mediation, self.view.recipe.claims.alpha)]


def _said(own: pd.DataFrame) -> str:
    """Return the answer for one measure and outcome, by data set where answers differ."""
    answers: dict[str, list[str]] = {}
    for on, rows in own.groupby("on", sort=False):
        words = dict.fromkeys(rows["answer"].map(IN_WORDS))
        if len(words) > 1:
            words.pop("unknown", None)  # too few seeds there, or nothing varies
        answers.setdefault(next(iter(words)) if len(words) == 1 else "depends on the forget split", []).append(str(on))
    if len(answers) == 1:
        return next(iter(answers))
    return ", ".join(f"{word} on {spoken(sets)}" for word, sets in answers.items())


def few_places(answers: pd.DataFrame, alpha: float) -> Iterator[str]:
    """Yield a sentence where arms and stages are too few for any answer but "associated"."""
    asked = answers[answers["answer"] != "unknown"] if len(answers) else answers
    few = asked[asked["smallest_p"] >= alpha] if len(asked) else asked
    if len(few):
        which = "any measure" if len(few) == len(asked) else "some measures"
        yield (
            f"There are too few arms and stages for {which} to be more than associated with a cost: no permutation of them has a p "
            f"below {fixed(few['smallest_p'].min(), 2)}."
        )


def named(key: Any) -> list[str]:
    """Return the name of a measure in tables, and its data, given a key in the order of ``MEASURE``."""
    _, measure, on, layer = map(str, key)
    name = metric_name(measure)
    return [name if layer == "model" else f"{name} ({layer})", on]


def partial(row: Any) -> str:
    """Return a partial correlation with its interval, where there is one."""
    if missing(row["partial"]):
        return MISSING
    return f"{fixed(row['partial'], 2)} {bracketed(fixed(row['low'], 2), fixed(row['high'], 2))}"


def across(folders: Sequence[Path], alpha: float = 0.05) -> pd.DataFrame:
    """Return whether measures predict the cost of unlearning over several studies, and without each of them.

    Args:
        folders: ``--out`` folders of studies of different recipes that analyze something.
        alpha: One minus the level of the intervals.

    Returns:
        See :func:`ungrok.study.mediation.pooled`.

    Raises:
        RecipeError: If a folder holds no study or no measures, or two hold the same recipe.

    """
    studies: dict[str, pd.DataFrame] = {}
    for folder in folders:
        view = View.of(StudyFolder.open(folder))
        points = Mechanism(view).points
        if points.empty:
            raise RecipeError(f"{folder}: holds no measures; its recipe has no 'analyze'")
        if view.recipe.name in studies:
            raise RecipeError(f"{folder}: recipe {view.recipe.name!r} is given more than once")
        studies[view.recipe.name] = points
    return pooled(studies, alpha)


def sentences(answers: pd.DataFrame, alpha: float = 0.05) -> Iterator[str]:
    """Yield, per measure of :func:`across`, whether it predicts each cost over all studies and without each of them, and where places are too few."""
    for key, group in answers.groupby(MEASURE, sort=False):
        said = []
        for row in group.to_dict("records"):
            without = row["without"] if isinstance(row["without"], dict) else {}
            left = ", ".join(f"{verdict} without {name}" for name, verdict in without.items())
            said.append(f"{row['outcome']}: {IN_WORDS[row['answer']]}{f' ({left})' if left else ''}")
        yield f"{' on '.join(filter(None, named(key)))}: does it predict beyond test accuracy? {'; '.join(said)}."
    yield from few_places(answers, alpha)
