"""Whether a randomized exposure did what it is meant to: the groups differ in when they were learned, and were alike before.

The groups are assigned by chance, and swapped pairs of seeds give every example both roles. So the groups can differ before training,
and in what a model knows that never saw them, by chance alone. They must differ in when they were learned, and may differ in how well they
are remembered at the end: the group that was shown more often of late may be remembered better. Effects are therefore also given adjusted
for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ungrok.core.errors import spoken
from ungrok.data.exposed import ExposedGroup
from ungrok.study.claims import Doses
from ungrok.study.claims.base import number
from ungrok.study.claims.beyond_oracle import SCORES
from ungrok.study.claims.headline import resolved
from ungrok.study.claims.judge import Paths, all_paths_of
from ungrok.study.inference import Differences, family
from ungrok.study.place import Comparison, comparisons
from ungrok.study.recipe import Recipe
from ungrok.study.results import Results
from ungrok.study.statistics import Estimate
from ungrok.study.track import Track
from ungrok.study.units import Units, units_of

Floats = NDArray[np.float64]

Word = Literal["holds", "fails", "open", "shown"]

TITLES = {
    "shown": "times shown",
    "persistent_step": "step from which learned",
    "base_loss": "loss before training",
    "oracle_score": "the oracle's score",
    "final_loss": "loss where unlearning starts",
}
"""What is compared between the groups."""

EQUAL = 1e-6
"""Logs of losses that lie closer than this are equal: they fix no line."""

FEWEST_FOR_LINE = 4
"""Units that a line through their effects needs: with three its interval would rest on one degree of freedom."""


@dataclass(frozen=True)
class Check:
    """One quantity of both groups.

    Args:
        comparison: Whose sides are the groups.
        what: A key of :data:`TITLES`.
        left: Mean over seeds of the left group.
        right: The same of the right one.
        estimate: Mean over units of left minus right, or of the log of left over right where ``ratio``; None where no unit has both.
        ratio: Whether it is a ratio.
        margin: The largest difference that counts as alike; None where the groups should differ, or where nothing is asked.
        word: ``holds``, ``fails`` or ``open``; ``shown`` where nothing is asked.

    """

    comparison: Comparison
    what: str
    left: float
    right: float
    estimate: Estimate | None
    ratio: bool
    margin: float | None
    word: Word


@dataclass(frozen=True)
class Adjusted:
    """An effect, and what is left of it where both groups are remembered equally well when unlearning starts.

    The effects d of units are put on a line, ``d = a + b f`` by least squares, where f is the log of the left group's loss over the
    right group's where unlearning starts. a is the effect at f = 0, and its interval is Student's, with two degrees of freedom less than
    there are units.

    Args:
        comparison: What is compared.
        method: Label of the method.
        metric: ``updates``, or a score of which what is left beyond the oracle is compared.
        target: The target of ``updates``; None for a score, which is read at the matched dose.
        n: Units.
        effect: Mean of d.
        loss: Mean of f.
        slope: b; NaN where the units do not fix a line.
        intercept: a.
        low: Lower end of its interval.
        high: Upper end.

    """

    comparison: Comparison
    method: str
    metric: str
    target: float | str | None
    n: int
    effect: float
    loss: float
    slope: float
    intercept: float
    low: float
    high: float


def exposed_comparisons(recipe: Recipe) -> list[Comparison]:
    """Return the comparisons of a recipe whose sides are both groups of a randomized exposure, forgotten from one model."""
    groups = {rule.label: rule.group for rule in recipe.forget if isinstance(rule, ExposedGroup)}
    return [
        one
        for one in comparisons(recipe)
        if len({groups.get(label) for label in one.forgets} - {None}) == 2
        and (one.left.arm, one.left.stage) == (one.right.arm, one.right.stage)
    ]


def checks(recipe: Recipe, results: Results) -> list[Check]:
    """Return what must hold of the groups, for every comparison between them."""
    compared = exposed_comparisons(recipe) if len(results.learned) else []
    if not compared:
        return []
    units, every = units_of(recipe), all_paths_of(results.rows)
    return [check for one in compared for check in _checks(one, recipe, results.learned, every, units)]


def _checks(
    comparison: Comparison, recipe: Recipe, learned: pd.DataFrame, every: Sequence[Paths], units: Units
) -> Iterator[Check]:
    alpha, margins = recipe.claims.alpha, recipe.claims.margins
    read = _Sides(comparison, recipe, every)
    yield _equal(comparison, learned)
    steps = _of_table(comparison, recipe, learned, "persistent_step")
    late = next(rule.group for rule in recipe.forget if rule.label == comparison.left_forget) == "late"  # type: ignore[attr-defined]
    yield _check(comparison, "persistent_step", steps, units, alpha, later=1 if late else -1)
    base = _of_table(comparison, recipe, learned, "base_loss")
    yield _check(comparison, "base_loss", base, units, alpha, ratio=True, margin=margins.base_loss)
    score = read.start(
        lambda track: next(
            (value for name in SCORES if (value := number(track.start, f"oracle_{name}")) is not None), None
        )
    )
    yield _check(comparison, "oracle_score", score, units, alpha, margin=margins.oracle_score)
    final = read.start(lambda track: number(track.start, "forget_loss"))
    yield _check(comparison, "final_loss", final, units, alpha, ratio=True)


@dataclass(frozen=True)
class _Sides:
    """Reads both sides of a comparison, averaged over draws within a seed."""

    comparison: Comparison
    recipe: Recipe
    every: Sequence[Paths]

    def start(self, read: Callable[[Track], float | None]) -> Floats:
        """Return what is read from models before unlearning, shape (2, seeds)."""
        for method in self.recipe.unlearn_labels():
            values = self.of(method, read)
            if np.isfinite(values).any():
                return values
        return np.full((2, len(self.recipe.seeds)), np.nan)

    def of(self, method: str, read: Callable[[Track], float | None]) -> Floats:
        """Return what is read from the paths of a method, shape (2, seeds), NaN where there is nothing."""
        return np.stack(
            [[self._of(place, seed, read) for seed in self.recipe.seeds] for place in self.comparison.places(method)]
        )

    def _of(self, place: object, seed: int, read: Callable[[Track], float | None]) -> float:
        values = [read(paths[place, seed]) for paths in self.every if (place, seed) in paths]  # type: ignore[index]
        known = [value for value in values if value is not None and math.isfinite(value)]
        return float(np.mean(known)) if known else math.nan


def _of_table(comparison: Comparison, recipe: Recipe, learned: pd.DataFrame, column: str) -> Floats:
    """Return a column of the table of when examples were learned, shape (2, seeds)."""
    means = learned.groupby(["arm", "forget", "seed"])[column].mean()
    sides = zip(comparison.sides, comparison.forgets, strict=True)
    return np.stack(
        [[float(means.get((side.arm, forget, seed), math.nan)) for seed in recipe.seeds] for side, forget in sides]
    )


def _equal(comparison: Comparison, learned: pd.DataFrame) -> Check:
    """Return the check that all examples of both groups were shown equally often, within one."""
    left, right = (
        learned[(learned["arm"] == side.arm) & (learned["forget"] == forget)]
        for side, forget in zip(comparison.sides, comparison.forgets, strict=True)
    )
    both = pd.concat([left, right]).groupby("seed")
    apart = both["most_shown"].max() - both["least_shown"].min()
    means = [float((side["least_shown"] + side["most_shown"]).mean() / 2) for side in (left, right)]
    word: Word = "holds" if (apart <= 1).all() else "fails"
    return Check(comparison, "shown", means[0], means[1], None, ratio=False, margin=1.0, word=word)


def _check(
    comparison: Comparison,
    what: str,
    values: Floats,
    units: Units,
    alpha: float,
    *,
    ratio: bool = False,
    margin: float | None = None,
    later: int = 0,
) -> Check:
    """Return a check of values of shape (2, seeds); ``later`` is the sign that their difference should have, 0 for none."""
    left, right = (float(np.nanmean(side)) if np.isfinite(side).any() else math.nan for side in values)
    differences = units.means(_ratio(values) if ratio else values[0] - values[1])
    estimate = family([Differences(differences)], len(units), alpha)[0] if np.isfinite(differences).any() else None
    word: Word = "shown"
    if margin is not None:
        word = "open" if estimate is None else _alike(estimate, margin)
    elif later:
        word = "open" if estimate is None else _differs(estimate, later)
    return Check(comparison, what, left, right, estimate, ratio, margin, word)


def _ratio(values: Floats) -> Floats:
    """Return the log of left over right, NaN where a value is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values)
    ratios: Floats = np.where(np.isfinite(logs).all(axis=0), logs[0] - logs[1], np.nan)
    return ratios


def _alike(estimate: Estimate, margin: float) -> Word:
    if -margin <= estimate.low and estimate.high <= margin:
        return "holds"
    return "fails" if estimate.low > margin or estimate.high < -margin else "open"


def _differs(estimate: Estimate, sign: int) -> Word:
    low, high = sorted((sign * estimate.low, sign * estimate.high))
    return "holds" if low > 0 else "fails" if high < 0 else "open"


def adjusted(recipe: Recipe, results: Results, doses: Mapping[str, Doses]) -> list[Adjusted]:
    """Return every effect between groups of a randomized exposure, by itself and adjusted for the loss where unlearning starts.

    Args:
        recipe: The study's recipe.
        results: Its tables.
        doses: Per method label, where its paths end and where doses are matched.

    """
    compared = exposed_comparisons(recipe)
    if not compared:
        return []
    every, units, rows = all_paths_of(results.rows), units_of(recipe), list[Adjusted]()
    for comparison in compared:
        read = _Sides(comparison, recipe, every)
        loss = units.means(_ratio(read.start(lambda track: number(track.start, "forget_loss"))))
        for method in recipe.unlearn_labels():
            for metric, target, values in _effects(read, method, doses.get(method), recipe):
                rows.append(
                    _line(
                        comparison,
                        method,
                        metric,
                        target,
                        units.means(values[0] - values[1]),
                        loss,
                        recipe.claims.alpha,
                    )
                )
    return rows


def _effects(
    read: _Sides, method: str, doses: Doses | None, recipe: Recipe
) -> Iterator[tuple[str, float | str | None, Floats]]:
    """Yield what is compared for a method, shape (2, seeds): what is left beyond the oracle, and the log of updates to each target."""
    if doses is None:
        return
    for score in SCORES:

        def left(track: Track, score: str = score) -> float | None:
            now, oracle = number(track.at_dose(doses.matched), score), number(track.start, f"oracle_{score}")
            return None if now is None or oracle is None else now - oracle

        values = read.of(method, left)
        if np.isfinite(values).any():
            yield score, None, values
            break
    for target in recipe.claims.targets:
        yield "updates", target, read.of(method, lambda track, target=target: track.log_dose(target, doses.end))  # type: ignore[misc]


def _line(
    comparison: Comparison,
    method: str,
    metric: str,
    target: float | str | None,
    effects: Floats,
    loss: Floats,
    alpha: float,
) -> Adjusted:
    """Return the effect at equal loss."""
    there = np.isfinite(effects) & np.isfinite(loss)
    d, f, n = effects[there], loss[there], int(there.sum())
    means = [float(values.mean()) if n else math.nan for values in (d, f)]
    line = [math.nan] * 4
    if n >= FEWEST_FOR_LINE and np.ptp(f) > EQUAL:
        from scipy import stats

        fitted = stats.linregress(f, d)
        half = float(stats.t.ppf(1 - alpha / 2, n - 2)) * fitted.intercept_stderr
        line = [fitted.slope, fitted.intercept, fitted.intercept - half, fitted.intercept + half]
    return Adjusted(comparison, method, metric, target, n, *means, *map(float, line))


def check_sentences(recipe: Recipe, results: Results) -> list[str]:
    """Return, of the headline comparison, one sentence on whether its groups are what a randomized exposure makes them; else nothing."""
    headline = resolved(recipe)
    own = [
        check
        for check in checks(recipe, results)
        if headline and check.comparison.sides == headline.compare and check.word != "shown"
    ]
    if not own:
        return []
    by_word = {word: [TITLES[check.what] for check in own if check.word == word] for word in ("holds", "fails", "open")}
    said = [f"{len(by_word['holds'])} of {len(own)} checks of the randomized exposure hold"]
    said += [
        f"what {verb}: {spoken(by_word[word])}"
        for word, verb in (("fails", "fails"), ("open", "is open"))
        if by_word[word]
    ]
    return ["; ".join(said) + "."]
