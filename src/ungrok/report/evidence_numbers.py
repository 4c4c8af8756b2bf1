"""The numbers of a study that stand beside the paper's tables: accuracies after unlearning, and measures with words of their own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from ungrok.core.schema import Schema
from ungrok.report.view import View
from ungrok.study.claims import Word, resolved
from ungrok.study.claims.base import number
from ungrok.study.inference import FEWEST, Differences, family
from ungrok.study.place import Comparison
from ungrok.study.statistics import Estimate
from ungrok.study.units import Units, units_of
from ungrok.train.stages import stage_name, step_of

Floats = NDArray[np.float64]

SHOWN = ("UA", "RA", "TA", "ES_forget", "ES_retain")
"""Columns of results that the paper's tables print."""


class FiledNumber(Schema):
    """A number over seeds."""

    mean: float | None = Field(description="null where every model has diverged")
    sd: float | None = Field(description="standard deviation over seeds (n − 1); null for fewer than two")
    n: int = Field(description="seeds that have it; a diverged model has none")
    of: int = Field(description="seeds that have the model")


class FiledEnd(Schema):
    """What models of one place have over seeds, as the paper's tables print it."""

    arm: str
    stage: str
    forget: str = Field(description="label of the forget split")
    method: str = Field(description="label of the method; original before unlearning, retrain for the oracle")
    values: dict[str, FiledNumber] = Field(
        description="by name: UA, RA, TA, and of language models ES_forget and ES_retain, after unlearning at the matched dose"
    )


class FiledMeasure(Schema):
    """A measure on both sides of a comparison of the headline, and what it says of the paper's statement that it falls, or stays."""

    comparison: str = Field(description="the earlier and the later side, with an arrow between them")
    forget: str = Field(description="label of the forget split; two with an arrow where the sides differ in it")
    method: str = Field(description="label of the method after which it was taken; empty before unlearning")
    measure: str
    on: str = Field(description="data on which it was taken")
    left: float = Field(description="mean over seeds on the earlier side")
    right: float = Field(description="the same on the later side")
    null: str = Field(description="name of the null that it must fall below, too; empty where there is none")
    null_left: float | None = Field(
        description="mean of the null's medians on the earlier side; null where there is none"
    )
    null_right: float | None = Field(description="the same on the later side")
    effect: float = Field(description="earlier minus later")
    ci_low: float | None = Field(
        description="lower end of the interval, simultaneous over the measures of the study; null where it has no bound"
    )
    ci_high: float | None = Field(description="its upper end; null where it has no bound")
    n_seeds: int = Field(ge=0)
    p_value: float = Field(ge=0, le=1, description="two-sided, adjusted over the measures of the study")
    verdict: Word
    note: str = Field(description="the reason where the interval alone does not give the word")


@dataclass(frozen=True)
class Measured:
    """A measure of which the paper says that it falls.

    Args:
        on: Data on which it is taken.
        layer: Layer of which it is taken.
        null: Name of the null that it must fall below, too: what falls no more than its null has a reason other than what is forgotten.
        after: Whether the paper gives it after gradient ascent, too.

    """

    on: tuple[str, ...]
    layer: str = "model"
    null: str = ""
    after: bool = False


FALLS = {
    "gradient_cosine": Measured(("forget|retain",), null="permuted"),
    "local_complexity": Measured(("retain", "test", "forget"), after=True),
    "cka_unpaired": Measured(("forget|retain",), layer="penultimate", null="same_distribution"),
}
"""Measures of the paper's Tables 3 to 5 and 9, by name."""

SAME = ("question_length", "answer_length", "base_loss", "final_loss")
"""How hard forgotten pairs are: the paper's Table 12 says that groups do not differ. It does not give the loss of the base model."""


def ends(view: View) -> list[FiledEnd]:
    """Return the accuracies of every model before unlearning, of its oracle, and after each method at the matched dose; steps of ``along``, too."""
    every: dict[tuple[str, str, str, str], FiledEnd] = {}
    for place, tracks in view.paths.items():
        if place.method not in view.methods:  # one rate of a search
            continue
        paths = [tracks[seed] for seed in view.recipe.seeds if seed in tracks]
        starts = [path.start for path in paths]
        after = [path.at_dose(view.doses[place.method].matched) for path in paths]
        for method, prefix, rows in (
            ("original", "", starts),
            ("retrain", "oracle_", starts),
            (place.method, "", after),
        ):
            columns = {name: [number(row, prefix + name) for row in rows] for name in SHOWN if prefix + name in rows[0]}
            values = {name: over_seeds(own) for name, own in columns.items() if not prefix or set(own) != {None}}
            where = (place.arm, place.stage, place.forget, method)
            if values and where not in every:
                every[where] = FiledEnd(arm=where[0], stage=where[1], forget=where[2], method=method, values=values)
    return sorted(every.values(), key=lambda end: _order(view, end))


def over_seeds(values: Sequence[float | None]) -> FiledNumber:
    """Return mean and standard deviation of the values that are there."""
    known = [value for value in values if value is not None]
    mean, sd = float(np.mean(known)) if known else None, float(np.std(known, ddof=1)) if len(known) > 1 else None
    return FiledNumber(mean=mean, sd=sd, n=len(known), of=len(values))


def _order(view: View, end: FiledEnd) -> tuple[int, ...]:
    """Return where an end stands: by arm and stage, split and method in the order of the recipe, steps of ``along`` last."""
    at = (end.arm, end.stage)
    series = view.series.index(at) if at in view.series else len(view.series) + (step_of(end.stage) or 0)
    return (
        series,
        view.recipe.forget_labels().index(end.forget),
        ["original", "retrain", *view.methods].index(end.method),
    )


@dataclass(frozen=True)
class _Pairs:
    """A measure on both sides, by unit of inference.

    Args:
        about: Fields of :class:`FiledMeasure` that say what was measured.
        sides: Shape (units, 2), earlier first; nan where a unit lacks one.
        nulls: The same of the null; None where there is none.
        falls: Whether the paper says that it falls; else that it stays.

    """

    about: dict[str, str]
    sides: Floats
    nulls: Floats | None
    falls: bool

    @property
    def known(self) -> Floats:
        """The rows of units that have both sides."""
        kept: Floats = self.sides[~np.isnan(self.sides).any(axis=1)]
        return kept


def measures(view: View, alpha: float, *, exploratory: bool = False) -> list[FiledMeasure]:
    """Return the measures of the paper's tables on both sides of the headline's comparisons, each with a word.

    The measures are a family of their own: their intervals hold together (see :func:`ungrok.study.inference.family`). A fall that the
    paper claims is supported where the interval of earlier minus later lies above 0 and, of a measure with a null, that of what
    it has beyond its null, too; refuted where it lies below 0 in the same sense. Where the paper claims that nothing differs, a difference
    refutes it, and nothing supports it, since no margin is given.

    Args:
        view: A study.
        alpha: One minus the level at which intervals hold together.
        exploratory: Whether no word may be given, because the headline family was fixed only after results existed.

    """
    headline, units = resolved(view.recipe), units_of(view.recipe)
    compared = [one for one in view.comparisons if headline and one.sides in headline.pairs]
    pairs = [pair for one in compared for pair in (*_fallen(view, one), *_groups(view, one)) if len(pair.known)]
    rows = [Differences(pair.sides[:, 0] - pair.sides[:, 1]) for pair in pairs]
    beyond = {
        place: Differences((pair.sides - pair.nulls) @ (1.0, -1.0))
        for place, pair in enumerate(pairs)
        if pair.nulls is not None and not np.isnan(pair.sides - pair.nulls).any(axis=1).all()
    }
    tested = family([*rows, *beyond.values()], len(units), alpha) if rows else []
    conditions = dict(zip(beyond, tested[len(rows) :], strict=True))
    return [
        _filed(pair, estimate, conditions.get(place), units, exploratory=exploratory)
        for place, (pair, estimate) in enumerate(zip(pairs, tested, strict=False))
    ]


def _filed(
    pair: _Pairs, estimate: Estimate, beyond: Estimate | None, units: Units, *, exploratory: bool
) -> FiledMeasure:
    word, note = _word(pair, estimate, beyond)
    if exploratory or estimate.n < FEWEST:
        word, note = (
            "exploratory",
            f"fewer than {FEWEST} {units.noun}" if estimate.n < FEWEST else "looked at otherwise before",
        )
    left, right = pair.known.mean(axis=0)
    nulls = (None, None) if pair.nulls is None else np.nanmean(pair.nulls, axis=0)
    low, high = (end if isfinite(end) else None for end in (estimate.low, estimate.high))
    return FiledMeasure(
        **pair.about, left=left, right=right, null_left=nulls[0], null_right=nulls[1], effect=estimate.effect, ci_low=low, ci_high=high,
        n_seeds=estimate.n, p_value=estimate.p_value, verdict=word, note=note,
    )  # fmt: skip


def _word(pair: _Pairs, estimate: Estimate, beyond: Estimate | None) -> tuple[Word, str]:
    word: Word = "supported" if estimate.low > 0 else "refuted" if estimate.high < 0 else "inconclusive"
    if not pair.falls:
        return ("inconclusive", "") if word == "inconclusive" else ("refuted", "")
    if word == "inconclusive" or pair.nulls is None:
        return word, ""
    same = beyond is not None and (beyond.low > 0 if word == "supported" else beyond.high < 0)
    return (word, "") if same else ("inconclusive", "its null changes as much")


def _fallen(view: View, compared: Comparison) -> Iterator[_Pairs]:
    """Yield the measures of which the paper says that they fall, before unlearning and after gradient ascent."""
    table = view.results.mechanism
    ascents = [method.label for method in view.recipe.unlearn if method.kind == "gradient_ascent"]
    for name, one in FALLS.items():
        for method, on in itertools.product(("", *ascents) if one.after else ("",), one.on):
            own = table[
                (table["measure"] == name)
                & (table["on"] == on)
                & (table["layer"] == one.layer)
                & (table["method"] == method)
            ]
            about = {"measure": name, "on": on, "method": method, "null": one.null}
            nulls = _both(view, own[own["null"] == one.null], compared) if one.null else None
            yield _Pairs(_place(compared) | about, _both(view, own[own["null"] == ""], compared), nulls, falls=True)


def _groups(view: View, compared: Comparison) -> Iterator[_Pairs]:
    """Yield how hard two groups of pairs are."""
    table = view.results.groups
    if compared.left_forget == compared.right_forget or table.empty:
        return
    for name in SAME:
        own = table.assign(value=table[name], stage=None)
        about = {"measure": name, "on": "forget", "method": "", "null": ""}
        yield _Pairs(_place(compared) | about, _both(view, own, compared), None, falls=False)


def _place(compared: Comparison) -> dict[str, str]:
    return {"comparison": compared.label, "forget": compared.forget}


def _both(view: View, table: pd.DataFrame, compared: Comparison) -> Floats:
    """Return values on both sides by unit of inference, shape (units, 2); nan where there is none."""
    columns = []
    for side, forget in zip(compared.sides, compared.forgets, strict=True):
        here = (table["arm"] == side.arm) & (table["forget"] == forget)
        here &= table["stage"].isna() | (table["stage"] == stage_name(side.stage))
        values = table[here].groupby("seed")["value"].first()
        columns.append(values.reindex(view.recipe.seeds).to_numpy(dtype=float))
    return units_of(view.recipe).means(np.stack(columns, axis=1))
