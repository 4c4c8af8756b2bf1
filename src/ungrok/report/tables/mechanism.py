"""Tables of the mechanism part: claims beside measures, measures beside their nulls, and what they predict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ungrok.analyze.curvature import ERROR
from ungrok.report.format import MISSING, bracketed, estimate, fixed, number, plural
from ungrok.report.mechanism import Mechanism, named, partial
from ungrok.report.tables.table import Cell, Row, Table
from ungrok.report.tables.verdicts import headline_verdicts
from ungrok.study.claims import Verdict
from ungrok.study.mediation import MEASURE, OUTCOMES
from ungrok.study.place import Comparison
from ungrok.study.statistics import sign_flip
from ungrok.study.units import unit_values, units_of

ENOUGH = 5
"""Draws of a null from which on its quantiles are shown."""


def tables(mechanism: Mechanism) -> Iterator[Table]:
    """Yield, per forget split, comparisons by claims and measures, the measures at every stage, and what they predict."""
    compared = mechanism.view.comparisons
    for forget in mechanism.view.recipe.forget_labels():
        if len(own := mechanism.before[mechanism.before["forget"] == forget]):
            yield from _together(
                mechanism, [c for c in compared if c.forgets == (forget, forget)], _of(mechanism, forget)
            )
            yield _values(mechanism, own, forget)
        if len(mechanism.points) and (mechanism.points["forget"] == forget).any():
            yield _predictions(mechanism, forget)
    if len(mechanism.before):
        yield from _together(
            mechanism, [c for c in compared if c.left_forget != c.right_forget], "against what is forgotten"
        )


def _of(mechanism: Mechanism, forget: str) -> str:
    return f"forgetting {mechanism.view.names.forget(forget)}"


def _together(mechanism: Mechanism, compared: list[Comparison], forget: str) -> Iterator[Table]:
    if not compared:
        return
    verdicts, rows = mechanism.view.verdicts, list[Row]()
    judged = {(v.claim, v.reading, v.metric, v.at.family) for v in headline_verdicts(mechanism.view)}
    alike = [v for v in verdicts if (v.claim, v.reading, v.metric, v.at.family) in judged]
    for claim, reading in dict.fromkeys((v.claim, v.reading) for v in alike):
        own = [v for v in alike if (v.claim, v.reading) == (claim, reading)]
        name = f"{claim.title}, {reading.replace('_', ' ')}" if reading else claim.title
        rows.append(["claim", name, "", *(_effect_cell(own, comparison) for comparison in compared)])
    here = mechanism.before[mechanism.before["forget"].isin([split for c in compared for split in c.forgets])]
    for key, group in mechanism.headline(here).groupby(MEASURE, sort=False):
        ends = [
            [_at(group, (side.arm, str(side.stage)), split) for side, split in zip(c.sides, c.forgets, strict=True)]
            for c in compared
        ]
        rows.append(["measure", *named(key), *(_change_cell(mechanism, *pair) for pair in ends)])
    how = (
        "One column per comparison. Claims: the median effect over methods at the headline's target, and in how many it agrees with the paper; "
        "ratios of updates, distances and spreads (earlier ÷ later), differences of accuracies in percentage points. Measures: "
        f"change from the first side to the second before unlearning, paired by seed, with its interval over {units_of(mechanism.view.recipe).noun}. An "
        "arm that moves a measure and no claim speaks against the measure."
    )
    columns = ["", "what", "on", *map(mechanism.view.names.comparison, compared)]
    yield Table(f"Arms, measures and claims, {forget}", how, columns, rows, keys=3)


def _values(mechanism: Mechanism, own: pd.DataFrame, forget: str) -> Table:
    series = [s for s in mechanism.view.series if ((own["arm"] == s[0]) & (own["stage"] == s[1])).any()]
    rows: list[Row] = []
    for key, group in mechanism.headline(own).groupby(MEASURE, sort=False):
        nulls = own[(own[MEASURE] == list(key)).all(axis=1) & (own["null"] != "")]
        errors = own[(own[MEASURE] == [key[0], f"{key[1]}{ERROR}", *key[2:]]).all(axis=1) & (own["null"] == "")]
        cells = [_value_cell(_at(group, s), _at(nulls, s), _at(errors, s)) for s in series]
        rows.append([*named(key), str(group["unit"].iloc[0]), *cells])
    how = (
        "Mean and standard deviation over seeds before unlearning; below it, of estimates, the standard error of one seed's; then, per null, the mean 5 % and 95 % quantiles and in how many "
        "seeds the value lies outside them: inside there is nothing to explain."
    )
    columns = ["measure", "on", "unit", *(mechanism.view.label(*s) for s in series)]
    return Table(f"Measures of mechanism, {_of(mechanism, forget)}", how, columns, rows, keys=3)


def _predictions(mechanism: Mechanism, forget: str) -> Table:
    own = mechanism.mediation[mechanism.mediation["forget"] == forget]
    rows: list[Row] = []
    for key, group in own.groupby(MEASURE, sort=False):
        by_outcome = {row["outcome"]: row for row in group.to_dict("records")}
        rows.append([*named(key), *(cell for name in OUTCOMES for cell in _prediction_cells(by_outcome[name]))])
    alpha = mechanism.view.recipe.claims.alpha
    tested = int((mechanism.mediation["answer"] != "unknown").sum())
    how = (
        "Rank correlation of the change of a measure with the change of what unlearning costs, over all arms, stages and seeds, each "
        "against the first stage of the same seed's base arm; then given test accuracy, with a jackknife interval over whole seeds. "
        f"All {plural(tested, 'interval')} of this study cover together with {1 - alpha:.0%} (max-t under flipped seeds). “p over places” compares the same "
        "correlation within seeds with what it is after the measure's values are moved between arms and stages, the same way in every seed; with "
        f"all measures counted, the chance that any is below {alpha:g} is {alpha:g} where arms and stages differ for other reasons. “yes” means that the measure predicts "
        "the cost beyond test accuracy: the interval does not hold 0 and p agrees; “associated” that only the interval says so, over these arms "
        "and stages; “no” that it holds 0: a wide one speaks for nothing. What predicts no better than the loss says nothing more than the loss. "
        f"Damage: {OUTCOMES['damage']}; updates: {OUTCOMES['updates']}; both as ranks within a method, averaged over methods."
    )
    columns = [
        "measure",
        "on",
        *["rank correlation", "given test accuracy", "p over places", "predicts", "arms agree"] * 2,
    ]
    return Table(
        f"What the measures predict, {_of(mechanism, forget)}", how, columns, rows, keys=2,
        groups=[("", 2), ("damage", 5), ("updates", 5)],
    )  # fmt: skip


def _at(table: pd.DataFrame, series: tuple[str, str], forget: str | None = None) -> pd.DataFrame:
    here = (table["arm"] == series[0]) & (table["stage"] == series[1])
    return table[here if forget is None else here & (table["forget"] == forget)]


def _value_cell(values: pd.DataFrame, nulls: pd.DataFrame, errors: pd.DataFrame) -> str | Cell:
    known = values.dropna(subset="value")
    if known.empty:
        return MISSING
    spread = f" ± {number(known['value'].std())}" if len(known) > 1 else ""
    lines = [f"{number(known['value'].mean())}{spread}"]
    if errors["value"].notna().any():
        lines.append(f"estimated ± {number(errors['value'].mean())}")
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


def _effect_cell(verdicts: list[Verdict], comparison: Comparison) -> str | Cell:
    """Return the median effect over the methods of a comparison, and in how many of them it agrees with the paper."""
    effects = [v.effect for v in verdicts if v.comparison == comparison and v.effect.value is not None]
    if not effects:
        return MISSING
    values = [effect.value for effect in effects]
    positive = sum(value > 0 for value in values if value is not None)
    middle = replace(effects[0], value=float(pd.Series(values).median()))
    return Cell((estimate(middle), f"agrees in {positive} of {len(values)}"))


def _change_cell(mechanism: Mechanism, first: pd.DataFrame, last: pd.DataFrame) -> str | Cell:
    by_seed = [table.set_index("seed")["value"].astype(float) for table in (first, last)]
    changes = unit_values(mechanism.view.recipe, (by_seed[1] - by_seed[0]).to_frame())
    if not len(changes):
        return MISSING
    change = sign_flip(changes[:, 0])
    return Cell((number(change.effect), bracketed(number(change.low), number(change.high))))


def _prediction_cells(row: Any) -> Row:
    raw, word = fixed(row["rank_correlation"], 2), str(row["answer"])
    if not np.isfinite(row["partial"]):
        return [raw, MISSING, MISSING, word, MISSING]
    agree = MISSING if np.isnan(row["arms_agree"]) else f"{row['arms_agree']:.0%}"
    return [raw, partial(row), fixed(row["permutation_p"], 3), word, agree]
