"""The paper's numbers beside those of a study, and the differences from which the paper draws conclusions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ungrok.report.format import MISSING, bracketed, fixed, level, mean_sd, number
from ungrok.report.paper import Stands, paper, stands
from ungrok.report.scale import scale
from ungrok.report.view import View
from ungrok.study.claims import At, Effect, Verdict
from ungrok.study.place import Place
from ungrok.study.recipe_blocks import Side
from ungrok.study.statistics import FEWEST_FOR_SPREAD, Estimate, bounded_differences, sign_flip, spread_ratio
from ungrok.study.units import unit_values
from ungrok.train.stages import stage_name

VERDICTS = ("agrees", "contradicts", "open", "not measured")


@dataclass(frozen=True)
class Line:
    """One metric at one place of a table, or its difference between two places.

    Args:
        table: Name of the part of the paper.
        forget: Label of the forget split; empty where forget splits are what is compared.
        method: Label of the method; ``original`` before unlearning, ``retrain`` for the oracle.
        metric: TA, RA, UA, ES_retain or ES_forget in [0, 1]; ``UA sd``; or ``updates to`` a level.
        places: What is compared, for instance ``pre_grok → grokked``.
        paper: The paper's value or values.
        measured: The study's: mean ± standard deviation over seeds, or the median number of updates.
        claimed: Sign of the paper's difference, later minus earlier; empty for a single place.
        difference: The study's difference with its interval over seeds; of logarithms for ``UA sd`` and updates.
        verdict: ``agrees`` where the interval lies on the claimed side of zero, ``contradicts`` where it lies on the other,
            ``open`` where it holds zero or there are too few seeds for an interval, ``not measured`` where one side is missing.

    """

    table: str
    forget: str
    method: str
    metric: str
    places: str
    paper: str
    measured: str
    claimed: str
    difference: str
    verdict: str

    def to_dict(self) -> dict[str, str]:
        """Return the columns by name."""
        return asdict(self)


Ends = tuple[float | None, float | None, float | None]
"""Effect, low and high end; an end without a bound is infinite."""


def compare(view: View, name: str, places: Sequence[str] = ()) -> list[Line]:
    """Return the lines of a comparison, in the paper's order; what a study did not measure is left empty.

    Args:
        view: A study.
        name: See :func:`ungrok.report.paper.parts`.
        places: What of the study stands for the paper's places and splits; see :func:`ungrok.report.paper.stands`.

    Raises:
        RecipeError: If the paper has no such part, or the study no such place.

    """
    return [line for part, one in stands(view, name, places).items() for line in _lines(view, part, paper()[part], one)]


def scales(view: View, part: str) -> str:
    """Return the sentence on what a study and a part of the paper were made with."""
    return f"The paper: {paper()[part]['scale']}. Here: {scale(view.recipe).sentence}."


def _lines(view: View, part: str, content: dict[str, Any], one: Stands) -> Iterator[Line]:
    sides, pairs = one.sides, content["pairs"]
    for label, method, values in content.get("rows", ()):
        forget = one.splits.get(label, "")
        for index, metric in enumerate(content["metrics"]):
            said = {place: row[index] / 100 for place, row in values.items() if row[index] is not None}
            yield from _accuracies(view, (part, forget, method, metric), pairs, sides, said)
    for label, *row in content.get("measures", ()):
        yield from _measures(view, part, pairs, sides, (one.splits[label], *row))
    for left, right in pairs:
        pair = (sides[left], sides[right])
        for label, method, values in content.get("spread", ()):
            yield _spread(view, (part, one.splits[label], method), pair, (values[left] / 100, values[right] / 100))
        for label, method, values in content.get("updates", ()):
            yield from _updates(view, (part, one.splits[label], method), pair, (values[left], values[right]))
        for label, method in content.get("below", ()):
            yield _below(view, (part, one.splits[label], method), pair)
        for metric, values, p in content.get("difficulty", ()):
            yield _difficulty(view, part, metric, pair, values and (values[left], values[right]), p)


def _accuracies(
    view: View, where: tuple[str, str, str, str], pairs: list[list[str]], sides: dict[str, Side], said: dict[str, float]
) -> Iterator[Line]:
    """Yield a line per pair of places, or per place where the paper gives no pair."""
    seen = {place: _measured(view, sides[place], *where[1:]) for place in said}
    known = [(left, right) for left, right in pairs if left in said and right in said]
    for left, right in known:
        yield _pair(view, where, (sides[left], sides[right]), (said[left], said[right]), (seen[left], seen[right]))
    for place in said if not known else ():
        yield Line(*where, sides[place].label, fixed(said[place]), _mean(seen[place]), "", "", "")


Values = dict[int, float | None]
"""By seed; None for a model that has diverged."""


def _measured(view: View, side: Side, forget: str, method: str, metric: str) -> Values:
    """Return the metric at the matched dose by seed, at the start, or of the oracle."""
    forget = side.forget or forget
    labels = [method] if method not in ("original", "retrain") else view.methods
    for label in labels:
        tracks = view.tracks(Place(side.arm, stage_name(side.stage), forget, label))
        rows = {
            seed: track.start if method in ("original", "retrain") else track.at_dose(view.doses[label].matched)
            for seed, track in tracks.items()
        }
        if rows:
            column = f"oracle_{metric}" if method == "retrain" else metric
            return {seed: None if pd.isna(row[column]) else float(row[column]) for seed, row in rows.items()}
    return {}


def _mean(values: Values) -> str:
    return " ".join(mean_sd(list(values.values()))) if values else MISSING


def _difference(view: View, left: Values, right: Values) -> Estimate | None:
    """Estimate right minus left, paired by seed; a diverged model may have had any accuracy."""
    seeds = [seed for seed in left if seed in right]
    if not any(left[seed] is not None and right[seed] is not None for seed in seeds):
        return None
    ends = {
        seed: [end for side in (right, left) for end in ((0.0, 1.0) if side[seed] is None else (side[seed],) * 2)]
        for seed in seeds
    }
    by_unit = unit_values(view.recipe, pd.DataFrame.from_dict(ends, orient="index"))
    right_low, right_high, left_low, left_high = by_unit.T
    alpha = view.recipe.claims.alpha
    return bounded_differences(right_low, right_high, left_low, left_high, alpha) if len(by_unit) else None


def _pair(
    view: View, where: Sequence[str], sides: tuple[Side, Side], said: tuple[float, float], seen: tuple[Values, Values]
) -> Line:
    return _paired(view, where, sides, _arrow(*map(fixed, said)), _sign(said[1] - said[0]), seen)


def _paired(
    view: View, where: Sequence[str], sides: tuple[Side, Side], printed: str, claimed: str, seen: tuple[Values, Values]
) -> Line:
    """Return the line of a difference of accuracies of which the paper claims a sign."""
    estimate = _difference(view, *seen)
    part, forget, method, metric = where
    shown = [_mean(values) for values in seen]
    ends = (None, None, None) if estimate is None else (estimate.effect, estimate.low, estimate.high)
    return Line(
        *(part, forget, method, metric, _labels(sides), printed),
        *(_arrow(*shown), claimed, *_judged(ends, claimed, view.recipe.claims.margins.paper, fixed, there=all(seen))),
    )


def _below(view: View, where: tuple[str, str, str], sides: tuple[Side, Side]) -> Line:
    """Return the line of UA − RA at the matched dose, which the paper shows to fall below zero, without numbers."""
    ua, ra = ([_measured(view, side, *where[1:], metric) for side in sides] for metric in ("UA", "RA"))
    seen = [
        {seed: None if (low := left[seed]) is None or (high := right[seed]) is None else low - high for seed in left}
        for left, right in zip(ua, ra, strict=True)
    ]
    return _paired(view, (*where, "UA − RA"), sides, _arrow(MISSING, MISSING), "−", (seen[0], seen[1]))


def _difficulty(
    view: View, part: str, metric: str, sides: tuple[Side, Side], said: tuple[float, float] | None, p: float | None
) -> Line:
    """Return the line of a mean of two groups of which the paper says that they do not differ; it gives no margin, so that nothing agrees."""
    table = view.results.groups
    seen = [
        table[(table["forget"] == side.forget) & (table["arm"] == side.arm)].set_index("seed")[metric].dropna()
        for side in sides
        if metric in table
    ]
    both = _joined(view, seen)
    shown = [number(float(mean)) for mean in both.mean(axis=0)] if len(both) else [MISSING, MISSING]
    printed = _arrow(*map(_printed, said)) if said else f"p = {p}"
    judged = _judged(_ends(both, view), "0", 0.0, number, there=len(both) > 0)
    return Line(part, "", "original", metric.replace("_", " "), _labels(sides), printed, _arrow(*shown), "0", *judged)


def _joined(view: View, sides: Sequence[pd.Series[float]]) -> NDArray[np.float64]:
    """Return what both sides have by unit of inference, given series over seeds; shape (units, 2)."""
    return unit_values(view.recipe, pd.concat(sides, axis=1, join="inner")) if sides else np.empty((0, 2))


def _ends(both: NDArray[np.float64], view: View) -> Ends:
    """Return the mean difference of pairs, later minus earlier, with its interval; both has the shape (units, 2)."""
    if not len(both):
        return None, None, None
    estimate = sign_flip(both[:, 1] - both[:, 0], view.recipe.claims.alpha)
    return estimate.effect, estimate.low, estimate.high


def _printed(value: float) -> str:
    """Return a number with all the digits that the paper prints."""
    return f"{value:g}"


def _labels(sides: Sequence[Side]) -> str:
    return _arrow(*(side.label for side in sides))


def _measures(
    view: View,
    part: str,
    pairs: list[list[str]],
    sides: dict[str, Side],
    row: tuple[str, str, str, str, str, dict[str, float]],
) -> Iterator[Line]:
    """Yield a line per pair of places of a measure of mechanism; its units and settings need not be the paper's."""
    forget, method, measure, on, layer, said = row
    table = view.results.mechanism
    for left, right in pairs:
        own = [sides[place] for place in (left, right)]
        seen = []
        for side in own if len(table) else ():
            where = {"arm": side.arm, "stage": str(side.stage), "forget": forget, "method": method, "measure": measure}
            where |= {"on": on, "layer": layer, "null": ""}
            here = table[(table[list(where)] == pd.Series(where)).all(axis=1)].dropna(subset="value")
            seen.append(here.set_index("seed")["value"].groupby(level=0).first())
        both = _joined(view, seen)
        claimed = _sign(said[right] - said[left])
        shown = [number(float(mean)) for mean in both.mean(axis=0)] if len(both) else [MISSING, MISSING]
        name = f"{measure} on {on}" + ("" if layer == "model" else f", {layer}")
        yield Line(
            *(part, forget, method or "original", name, _labels(own)),
            *(_arrow(_printed(said[left]), _printed(said[right])), _arrow(*shown)),
            *(claimed, *_judged(_ends(both, view), claimed, 0.0, number, there=len(both) > 0)),
        )


def _spread(view: View, where: tuple[str, str, str], sides: tuple[Side, Side], said: tuple[float, float]) -> Line:
    seen = [_measured(view, side, *where[1:], "UA") for side in sides]
    shown = [fixed(pd.Series(list(values.values()), dtype=float).std()) if values else MISSING for values in seen]
    places, claimed = _labels(sides), _sign(said[1] - said[0])
    left, right = _joined(view, [pd.Series(side, dtype=float) for side in seen]).T
    ends: Ends = (None, None, None)
    if len(left) >= FEWEST_FOR_SPREAD and np.ptp(left) > 0 and np.ptp(right) > 0:
        estimate = spread_ratio(left, right, view.recipe.claims.alpha)
        ends = (-estimate.effect, -estimate.high, -estimate.low)
    margin = view.recipe.claims.margins.stability
    judged = _judged(ends, claimed, margin, lambda value: fixed(value, 2), there=all(seen))
    return Line(*where, "UA sd", places, _arrow(*map(fixed, said)), _arrow(*shown), claimed, *judged)


def _updates(
    view: View, where: tuple[str, str, str], sides: tuple[Side, Side], said: tuple[list[int], list[int]]
) -> Iterator[Line]:
    compared = _labels(sides)
    claimed = _sign(float(np.mean(said[1]) - np.mean(said[0]))) if all(said) else "0"
    shown = _arrow(*(f"{steps[0]}-{steps[1]}" if steps else MISSING for steps in said))
    _, forget, method = where
    places = [Place(side.arm, stage_name(side.stage), forget, method) for side in sides]
    for target in view.recipe.claims.targets:
        medians = [view.reach(place, target).median() for place in places]
        verdict = _verdict(view, where, compared, target)
        judged = _as_paper(verdict, claimed, view.recipe.claims.margins.efficiency)
        yield Line(*where, f"updates to {level(target)}", compared, shown, _arrow(*medians), claimed, *judged)


def _verdict(view: View, where: tuple[str, str, str], places: str, target: float | str) -> Verdict | None:
    """Return the verdict on updates to a target at identical settings."""
    wanted = ("same_rate", places, *where[1:], At.target(target))
    return next(
        (v for v in view.verdicts if (v.reading, v.comparison.label, v.comparison.forget, v.method, v.at) == wanted),
        None,
    )


def _as_paper(verdict: Verdict | None, claimed: str, margin: float) -> tuple[str, str]:
    """Judge the effect of a verdict as later over earlier: verdicts count what agrees with the paper as positive."""
    effect = Effect() if verdict is None else verdict.effect
    low, high = effect.interval
    ends = (None, None, None) if effect.value is None else (-effect.value, -high, -low)
    return _judged(ends, claimed, margin, lambda value: fixed(value, 2), there=verdict is not None)


def _judged(ends: Ends, claimed: str, margin: float, show: Callable[[float], str], *, there: bool) -> tuple[str, str]:
    """Return the difference with its interval as text, and whether the interval agrees with the claimed sign."""
    effect, low, high = ends
    if not there:
        return MISSING, "not measured"
    if effect is None or low is None or high is None:
        return MISSING, "open"
    left, right = (("−∞" if low < 0 else "∞") if np.isinf(low) else show(low)), ("∞" if np.isinf(high) else show(high))
    text = f"{show(effect)} {bracketed(left, right)}"
    if claimed == "0" and -margin < low and high < margin:
        return text, "agrees"
    if low <= 0 <= high:
        return text, "open"
    return text, "agrees" if claimed == _sign(effect) else "contradicts"


def _sign(value: float) -> str:
    return "+" if value > 0 else "−" if value < 0 else "0"


def _arrow(left: str, right: str) -> str:
    return f"{left} → {right}"
