"""The mechanism part of the report: measures beside their nulls, and whether they predict what unlearning costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ungrok.core.errors import RecipeError
from ungrok.report.compare import open_study
from ungrok.report.format import MISSING, bracketed, fixed, listed, number, plural
from ungrok.report.tables import NAMED, VERDICTS, Cell, Table, headline_verdicts
from ungrok.report.view import View
from ungrok.study.claims import comparison_label, split_label
from ungrok.study.mediation import MEASURE, OUTCOMES, changes, headline, mediation, pooled
from ungrok.study.recipe import Side
from ungrok.study.statistics import sign_flip

ENOUGH = 5
"""Draws of a null from which on its quantiles are shown."""

MEASURE_ALONE = [column for column in MEASURE if column != "on"]


@dataclass(frozen=True)
class Mechanism:
    """The measures of a study as the report sees them; empty where the recipe analyzes nothing."""

    view: View

    @cached_property
    def before(self) -> pd.DataFrame:
        """Values and nulls at stages, before unlearning."""
        table = self.view.results.mechanism
        return table[table["method"] == ""]

    @cached_property
    def points(self) -> pd.DataFrame:
        """Changes of measures and of costs from the first stage of the base arm."""
        return changes(self.view.results.rows, self.before, self.view.recipe, self.view.budgets)

    @cached_property
    def mediation(self) -> pd.DataFrame:
        """What those changes have to do with each other."""
        return mediation(self.points, self.view.recipe.claims.alpha)

    def tables(self) -> Iterator[Table]:
        """Yield, per forget split, comparisons by claims and measures, the measures at every stage, and what they predict."""
        for forget in self.view.recipe.forget_labels():
            if len(own := self.before[self.before["forget"] == forget]):
                yield from self._together([c for c in self.view.comparisons() if c[2:] == (forget, forget)], forget)
                yield self._values(own, forget)
            if len(self.points) and (self.points["forget"] == forget).any():
                yield self._predictions(forget)
        if len(self.before):
            yield from self._together([c for c in self.view.comparisons() if c[2] != c[3]], "against forget split")

    def _together(self, compared: list[tuple[Side, Side, str, str]], forget: str) -> Iterator[Table]:
        if not compared:
            return
        verdicts = headline_verdicts(self.view)
        rows: list[list[str | Cell]] = []
        for claim, text in NAMED.items():
            cells = [_count_cell(verdicts, claim, *comparison) for comparison in compared]
            rows.append(["claim", text, "", *cells])
        here = self.before[self.before["forget"].isin([split for c in compared for split in c[2:]])]
        for key, group in headline(here).groupby(MEASURE, sort=False):
            ends = [
                [_at(group, (s.arm, str(s.stage)), f) for s, f in ((a, one), (b, two))] for a, b, one, two in compared
            ]
            rows.append(["measure", *named(key), *(_change_cell(*pair) for pair in ends)])
        how = (
            "One column per comparison. Claims: of the settings in the headline, how many are supported, refuted and inconclusive. Measures: "
            "change from the first side to the second before unlearning, paired by seed, with its interval. An arm that moves a measure and no claim "
            "speaks against the measure."
        )
        columns = ["", "what", "on", *(comparison_label(a, b) for a, b, *_ in compared)]
        yield Table(f"Arms, measures and claims, forget split {forget}", how, columns, rows, keys=3)

    def _values(self, own: pd.DataFrame, forget: str) -> Table:
        series = [s for s in self.view.series if ((own["arm"] == s[0]) & (own["stage"] == s[1])).any()]
        rows: list[list[str | Cell]] = []
        for key, group in headline(own).groupby(MEASURE, sort=False):
            nulls = own[(own[MEASURE] == list(key)).all(axis=1) & (own["null"] != "")]
            cells = [_value_cell(_at(group, s), _at(nulls, s)) for s in series]
            rows.append([*named(key), str(group["unit"].iloc[0]), *cells])
        how = (
            "Mean and standard deviation over seeds before unlearning; below it, per null, the mean 5 % and 95 % quantiles and in how many "
            "seeds the value lies outside them: inside there is nothing to explain."
        )
        columns = ["measure", "on", "unit", *(self.view.label(*s) for s in series)]
        return Table(f"Measures of mechanism, forget split {forget}", how, columns, rows, keys=3)

    def _predictions(self, forget: str) -> Table:
        own = self.mediation[self.mediation["forget"] == forget]
        rows: list[list[str | Cell]] = []
        for key, group in own.groupby(MEASURE, sort=False):
            by_outcome = {row["outcome"]: row for row in group.to_dict("records")}
            rows.append([*named(key), *(cell for name in OUTCOMES for cell in _prediction_cells(by_outcome[name]))])
        tested = int((self.mediation["predicts"] != "unknown").sum())
        how = (
            "Rank correlation of the change of a measure with the change of what unlearning costs, over all arms, stages and seeds, each "
            "against the first stage of the same seed's base arm; then given test accuracy, with a jackknife interval over whole seeds. "
            f"All {plural(tested, 'interval')} of this study cover together with {1 - self.view.recipe.claims.alpha:.0%} (max-t under flipped seeds). “yes” means that "
            f"the measure predicts the cost beyond test accuracy: the interval does not hold 0; “no” that it does: a wide one speaks for nothing. What "
            f"predicts no better than the loss says nothing more than the loss. Damage: {OUTCOMES['damage']}; updates: "
            f"{OUTCOMES['updates']}; both as ranks within a method, averaged over methods."
        )
        columns = ["measure", "on", *["rank correlation", "given test accuracy", "predicts", "arms agree"] * 2]
        return Table(
            f"What the measures predict, forget split {forget}", how, columns, rows, keys=2,
            groups=[("", 2), ("damage", 4), ("updates", 4)],
        )  # fmt: skip

    def sentences(self) -> list[str]:
        """Return one sentence per measure: does it predict the cost of unlearning beyond test accuracy?"""
        found = []
        for key, group in self.mediation.groupby(MEASURE_ALONE, sort=False) if len(self.points) else ():
            said = [f"{outcome}: {_said(own)}" for outcome, own in group.groupby("outcome", sort=False)]
            name, _ = named([*key[:2], "", key[2]])
            found.append(f"{name}: does it predict beyond test accuracy? {'; '.join(said)}.")
        return found


def _said(own: pd.DataFrame) -> str:
    """Return the answer for one measure and outcome, by data set where answers differ."""
    answers: dict[str, list[str]] = {}
    for on, rows in own.groupby("on", sort=False):
        words = dict.fromkeys(rows["predicts"])
        if len(words) > 1:
            words.pop("unknown", None)  # where nothing could be asked
        answers.setdefault(next(iter(words)) if len(words) == 1 else "depends on the forget split", []).append(str(on))
    if len(answers) == 1:
        return next(iter(answers))
    return ", ".join(f"{word} on {listed(sets)}" for word, sets in answers.items())


def named(key: Any) -> list[str]:
    """Return what a key in the order of ``MEASURE`` is called, and its data."""
    _, measure, on, layer = map(str, key)
    return [measure if layer == "model" else f"{measure} ({layer})", on]


def _at(table: pd.DataFrame, series: tuple[str, str], forget: str | None = None) -> pd.DataFrame:
    here = (table["arm"] == series[0]) & (table["stage"] == series[1])
    return table[here if forget is None else here & (table["forget"] == forget)]


def _value_cell(values: pd.DataFrame, nulls: pd.DataFrame) -> str | Cell:
    known = values.dropna(subset="value")
    if known.empty:
        return MISSING
    spread = f" ± {number(known['value'].std())}" if len(known) > 1 else ""
    lines = [f"{number(known['value'].mean())}{spread}"]
    for name, own in nulls.groupby("null", sort=False):
        draws = own["draws"].max()
        if draws < ENOUGH:
            lines.append(f"{name} {number(own['value'].mean())} ({plural(int(draws), 'draw')})")
            continue
        both = known.merge(own, on="seed", suffixes=("", "_null"))
        outside = int(((both["value"] < both["low_null"]) | (both["value"] > both["high_null"])).sum())
        ends = bracketed(number(own["low"].mean()), number(own["high"].mean()))
        lines.append(f"{name} {ends}, outside in {outside} of {len(both)}")
    return Cell(tuple(lines))


def _count_cell(
    verdicts: list[dict[str, Any]], claim: str, first: Side, last: Side, left: str, right: str
) -> str | Cell:
    """Return how many settings of a comparison support a claim, refute it, or neither."""
    comparison, forget = comparison_label(first, last), split_label(left, right)
    words = [
        v["verdict"]
        for v in verdicts
        if (v["claim"], v["comparison"], v["setting"]["forget"]) == (claim, comparison, forget)
    ]
    if not words:
        return MISSING
    counts = [f"{words.count(word)} {word}" for word in VERDICTS if word in words]
    return Cell(tuple(counts), words[0] if len(set(words)) == 1 else "")


def _change_cell(first: pd.DataFrame, last: pd.DataFrame) -> str | Cell:
    both = first.merge(last, on="seed", suffixes=("_first", "_last")).dropna(subset=["value_first", "value_last"])
    if both.empty:
        return MISSING
    estimate = sign_flip((both["value_last"] - both["value_first"]).to_numpy(dtype=float))
    return Cell((number(estimate.effect), bracketed(number(estimate.low), number(estimate.high))))


def partial(row: Any) -> str:
    """Return a partial correlation with its interval."""
    return f"{fixed(row['partial'], 2)} {bracketed(fixed(row['low'], 2), fixed(row['high'], 2))}"


def _prediction_cells(row: Any) -> list[str | Cell]:
    if not np.isfinite(row["partial"]):
        return [fixed(row["rank_correlation"], 2), MISSING, str(row["predicts"]), MISSING]
    agree = MISSING if np.isnan(row["arms_agree"]) else f"{row['arms_agree']:.0%}"
    return [fixed(row["rank_correlation"], 2), partial(row), str(row["predicts"]), agree]


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
        view = open_study(folder)
        points = Mechanism(view).points
        if points.empty:
            raise RecipeError(f"{folder}: holds no measures; its recipe has no 'analyze'")
        if view.recipe.name in studies:
            raise RecipeError(f"{folder}: recipe {view.recipe.name!r} stands more than once")
        studies[view.recipe.name] = points
    return pooled(studies, alpha)


def sentences(found: pd.DataFrame) -> Iterator[str]:
    """Yield, per measure of :func:`across`, whether it predicts each cost over all studies and without each of them."""
    for key, group in found.groupby(MEASURE, sort=False):
        said = []
        for row in group.to_dict("records"):
            without = row["without"] if isinstance(row["without"], dict) else {}
            left = ", ".join(f"{verdict} without {name}" for name, verdict in without.items())
            said.append(f"{row['outcome']}: {row['predicts']}{f' ({left})' if left else ''}")
        yield f"{' on '.join(filter(None, named(key)))}: does it predict beyond test accuracy? {'; '.join(said)}."
