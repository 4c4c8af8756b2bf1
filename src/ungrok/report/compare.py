"""The paper's numbers beside those of a study, and the differences from which the paper draws conclusions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from ungrok.core.errors import unknown
from ungrok.core.plain import parse_yaml
from ungrok.report.format import MISSING, bracketed, fixed, level, mean_sd, number
from ungrok.report.view import View
from ungrok.study.claims import At, Effect, Verdict
from ungrok.study.loading import load
from ungrok.study.place import Place
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE, Side
from ungrok.study.statistics import FEWEST_FOR_SPREAD, Estimate, bounded_differences, sign_flip, spread_ratio
from ungrok.train.stages import stage_name

PREFIX = "paper:"

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


@cache
def paper() -> dict[str, dict[str, Any]]:
    """Return the paper's numbers by part, as the data file holds them."""
    text = (resources.files("ungrok") / "report" / "paper.yaml").read_text(encoding="utf-8")
    numbers: dict[str, dict[str, Any]] = parse_yaml(text, "paper.yaml")
    return numbers


def parts(name: str, recipe: Recipe) -> list[str]:
    """Return the parts of the paper that ``--with`` names: one, or every part of a table that has several.

    Args:
        name: For instance ``paper:table1-cnn``, or ``paper:table1``, of which the part that ``recipe`` reproduces is taken,
            else the parts on its data set, else all.
        recipe: The study's.

    Raises:
        RecipeError: If there is no such part.

    """
    known = paper()
    table = name.removeprefix(PREFIX)
    named = [part for part in known if part == table or part.startswith(f"{table}-")]
    if not name.startswith(PREFIX) or not named:
        raise unknown("--with", name, [PREFIX + part for part in known])
    alike = [part for part in named if _data(load(known[part]["recipe"])) == _data(recipe)]
    return [part for part in named if known[part]["recipe"] == recipe.name] or alike or named


def _data(recipe: Recipe) -> str:
    return str(getattr(recipe.problem, "dataset", recipe.problem.kind))


def compare(view: View, name: str, places: Sequence[str] = ()) -> list[Line]:
    """Return the lines of a comparison, in the paper's order; what a study did not measure is left empty.

    Args:
        view: A study.
        name: See :func:`parts`.
        places: Stages that stand for places of the paper, where they are not those of the data file: ``place=stage`` or
            ``place=arm/stage``, for instance ``pre=step-52800``; ``place=split`` where places are forget splits.

    Raises:
        RecipeError: If the paper has no such part, or the study no such place.

    """
    chosen = parts(name, view.recipe)
    sides = _sides(view, chosen, places)
    return [line for part in chosen for line in _lines(view, part, paper()[part], sides)]


def missing(view: View, name: str, places: Sequence[str] = ()) -> Iterator[str]:
    """Yield a sentence on each of the paper's places and forget splits that a study does not have; see :func:`compare`."""
    chosen = parts(name, view.recipe)
    labels, stages = view.recipe.forget_labels(), [Side(stage=s, arm=a).label for a, s in view.series]
    for place, side in _sides(view, chosen, places).items():
        if (side.arm, str(side.stage)) not in view.series:
            yield f"{place}: the study has no {side.label}; --place {place}=... says which it is, of {', '.join(stages)}"
        elif side.forget and side.forget not in labels:
            yield f"{place}: the study has no forget split {side.forget}; --place {place}=... says which it is, of {', '.join(labels)}"
    rows = [
        row
        for part in chosen
        for kind in ("rows", "measures", "spread", "updates")
        for row in paper()[part].get(kind, ())
    ]
    absent = [label for label in dict.fromkeys(row[0] for row in rows) if label and label not in labels]
    if absent:
        yield f"the study has no forget split {', '.join(absent)}; it has {', '.join(labels)}"


def _sides(view: View, chosen: Sequence[str], places: Sequence[str]) -> dict[str, Side]:
    """Return which side of a study stands for each place of some parts: by the data file, or else by the user."""
    known = {place: Side.model_validate(side) for part in chosen for place, side in paper()[part]["places"].items()}
    return known | dict(_place(view, text, known) for text in places)


def _place(view: View, text: str, allowed: dict[str, Side]) -> tuple[str, Side]:
    place, _, where = text.partition("=")
    if place not in allowed:
        raise unknown("--place", text, [f"{name}=..." for name in allowed])
    if allowed[place].forget:
        if where not in (labels := view.recipe.forget_labels()):
            raise unknown(f"--place {place}", where, labels)
        return place, allowed[place].model_copy(update={"forget": where})
    arm, _, stage = where.rpartition("/")
    side = Side(stage=stage, arm=arm or BASE)
    if (side.arm, stage) not in view.series:
        raise unknown(f"--place {place}", where, [Side(stage=s, arm=a).label for a, s in view.series])
    return place, side


def _lines(view: View, part: str, content: dict[str, Any], sides: dict[str, Side]) -> Iterator[Line]:
    for forget, method, values in content.get("rows", ()):
        for index, metric in enumerate(content["metrics"]):
            said = {place: row[index] / 100 for place, row in values.items() if row[index] is not None}
            yield from _accuracies(view, (part, forget or "", method, metric), content["pairs"], sides, said)
    for row in content.get("measures", ()):
        yield from _measures(view, part, content["pairs"], sides, row)
    for left, right in content["pairs"]:
        pair = (sides[left], sides[right])
        for forget, method, values in content.get("spread", ()):
            yield _spread(view, (part, forget, method), pair, (values[left] / 100, values[right] / 100))
        for forget, method, values in content.get("updates", ()):
            yield from _updates(view, (part, forget, method), pair, (values[left], values[right]))


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


def _difference(left: Values, right: Values, alpha: float) -> Estimate | None:
    """Estimate right minus left, paired by seed; a diverged model may have had any accuracy."""
    seeds = [seed for seed in left if seed in right]
    if not any(left[seed] is not None and right[seed] is not None for seed in seeds):
        return None
    ends = [
        [[0.0, 1.0] if side[seed] is None else [side[seed], side[seed]] for seed in seeds] for side in (right, left)
    ]
    (right_low, right_high), (left_low, left_high) = (np.array(side, dtype=float).T for side in ends)
    return bounded_differences(right_low, right_high, left_low, left_high, alpha)


def _pair(
    view: View, where: Sequence[str], sides: tuple[Side, Side], said: tuple[float, float], seen: tuple[Values, Values]
) -> Line:
    estimate = _difference(*seen, view.recipe.claims.alpha)
    part, forget, method, metric = where
    shown = [_mean(values) for values in seen]
    ends = (None, None, None) if estimate is None else (estimate.effect, estimate.low, estimate.high)
    claimed = _sign(said[1] - said[0])
    return Line(
        *(part, forget, method, metric, _arrow(*(side.label for side in sides)), _arrow(*map(fixed, said))),
        *(_arrow(*shown), claimed, *_judged(ends, claimed, view.recipe.claims.margins.paper, fixed, there=all(seen))),
    )


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
        both = pd.concat(seen, axis=1, join="inner").to_numpy(dtype=float) if seen else np.empty((0, 2))
        estimate = sign_flip(both[:, 1] - both[:, 0], view.recipe.claims.alpha) if len(both) else None
        ends = (None, None, None) if estimate is None else (estimate.effect, estimate.low, estimate.high)
        claimed = _sign(said[right] - said[left])
        shown = [number(float(mean)) for mean in both.mean(axis=0)] if len(both) else [MISSING, MISSING]
        name = f"{measure} on {on}" + ("" if layer == "model" else f", {layer}")
        yield Line(
            *(part, forget, method or "original", name, _arrow(*(side.label for side in own))),
            *(_arrow(number(said[left]), number(said[right])), _arrow(*shown)),
            *(claimed, *_judged(ends, claimed, 0.0, number, there=len(both) > 0)),
        )


def _spread(view: View, where: tuple[str, str, str], sides: tuple[Side, Side], said: tuple[float, float]) -> Line:
    seen = [_measured(view, side, *where[1:], "UA") for side in sides]
    shown = [fixed(pd.Series(list(values.values()), dtype=float).std()) if values else MISSING for values in seen]
    places, claimed = _arrow(*(side.label for side in sides)), _sign(said[1] - said[0])
    left, right = (np.array([side[seed] for seed in both]) for both in [_both(*seen)] for side in seen)
    ends: Ends = (None, None, None)
    if len(left) >= FEWEST_FOR_SPREAD and np.ptp(left) > 0 and np.ptp(right) > 0:
        estimate = spread_ratio(left, right, view.recipe.claims.alpha)
        ends = (-estimate.effect, -estimate.high, -estimate.low)
    margin = view.recipe.claims.margins.stability
    judged = _judged(ends, claimed, margin, lambda value: fixed(value, 2), there=all(seen))
    return Line(*where, "UA sd", places, _arrow(*map(fixed, said)), _arrow(*shown), claimed, *judged)


def _both(left: Values, right: Values) -> list[int]:
    """Return the seeds that have a value on both sides."""
    return [seed for seed in left if left[seed] is not None and right.get(seed) is not None]


def _updates(
    view: View, where: tuple[str, str, str], sides: tuple[Side, Side], said: tuple[list[int], list[int]]
) -> Iterator[Line]:
    compared = _arrow(*(side.label for side in sides))
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


Ends = tuple[float | None, float | None, float | None]
"""Effect, low and high end; an end without a bound is infinite."""


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
