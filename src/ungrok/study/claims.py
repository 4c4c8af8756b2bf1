"""Claims: falsifiable statements about two stages, paired by seed, each with an effect, an interval and a verdict.

Every effect is oriented so that a positive value agrees with the paper (arXiv 2512.03437).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from math import isfinite
from typing import Any, cast

import numpy as np
import pandas as pd

from ungrok.evaluate.gap import NAMES, ues
from ungrok.evaluate.targets import target_column
from ungrok.study.recipe import Claims, Recipe, Side
from ungrok.study.statistics import (
    Estimate,
    Times,
    bounded_differences,
    holm,
    log_ratio,
    sign_flip,
    spread_ratio,
    verdict,
)
from ungrok.train.stages import stage_name

CLAIMS = {
    "efficiency": "From the later stage, fewer updates (or less strength) reach a target level of forgetting.",
    "collateral": "When the target is reached, retain, test and bystander accuracy have fallen less.",
    "stability": "At the same dose, UA, RA and TA spread less across seeds.",
    "oracle_gap": "UA, RA and TA end nearer to those of a model retrained without the forget data.",
    "paper": "The paper's own reading: lower UA, higher RA, TA and UES after a fixed budget, whatever the start.",
    "extraction": "Language models, the paper's Table 2: less can be extracted of what is forgotten, more of what is retained.",
}

COARSE = 20
"""Below so many updates to target, one update is more than 5 %: a ratio then says little."""

LOR = ["seed", "arm", "stage", "forget", "method"]


@dataclass(frozen=True)
class Track:
    """One unlearning path: its rows by increasing dose, the starting point first."""

    rows: pd.DataFrame

    @cached_property
    def places(self) -> list[dict[str, Any]]:
        """The rows as dicts, since a report asks for single rows ten thousand times."""
        return cast("list[dict[str, Any]]", self.rows.to_dict("records"))

    @property
    def start(self) -> dict[str, Any]:
        """The row before the first update."""
        return self.places[0]

    @property
    def one_shot(self) -> bool:
        """Whether the dose is a strength."""
        return bool(self.rows["updates"].isna().all())

    def status(self, target: float | str) -> str:
        """Return ``undefined`` (no oracle), ``nothing`` (at or below from the start), ``reached`` or ``censored``."""
        flags = self.rows[target_column(target)]
        if flags.isna().any():
            return "undefined"
        return "nothing" if flags.iloc[0] else "reached" if flags.iloc[-1] else "censored"

    def at(self, target: float | str) -> dict[str, Any] | None:
        """Return the row at which the target is first reached."""
        column = target_column(target)
        return next((row for row in self.places if row[column] == 1), None)  # not 1: False, nan or None

    def at_dose(self, dose: float) -> dict[str, Any]:
        """Return the last row whose dose is not beyond ``dose``; a path that diverged earlier ends in its last row."""
        return [row for row in self.places if row["dose"] <= dose * (1 + 1e-9)][-1]

    def rewound(self) -> dict[str, Any] | None:
        """Return the row that rewinding selects."""
        return next((row for row in self.places if row["rewound"]), None)


@dataclass(frozen=True)
class Finding:
    """An effect that awaits its verdict; ``estimate`` is None where none can be given, for the reason in ``note``."""

    claim: str
    metric: str
    at: str
    method: str
    estimate: Estimate | None
    unit: str
    margin: float
    note: str
    n: int


Pairs = list[tuple[Track, Track]]


def judge(rows: pd.DataFrame, recipe: Recipe, budgets: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """Return one verdict per claim, comparison and setting.

    Args:
        rows: The rows of a study.
        recipe: Its ``claims`` block says what is compared.
        budgets: Per method label, the dose at which its path ends and the dose at which doses are matched.

    Returns:
        Dicts with claim, comparison, setting, effect, unit, ci_low, ci_high, n_seeds, p_value (Holm-adjusted over the
        methods of one claim, metric, comparison, forget split and target), verdict and note.

    """
    tracks = {
        key: Track(group.sort_values("dose", kind="stable"))
        for key, group in rows.groupby(LOR, sort=True, dropna=False)
    }
    verdicts = []
    for left, right in recipe.claims.compare:
        for forget_left, forget_right in _splits(recipe, left, right):
            findings = []
            for unlearner in recipe.unlearn:
                method = unlearner.label
                pairs = _paired(tracks, recipe.seeds, (left, forget_left), (right, forget_right), method)
                reason = SCRATCH if unlearner.from_scratch else ""
                findings += list(_findings(pairs, method, recipe.claims, budgets.get(method), reason))
            forget = split_label(forget_left, forget_right)
            verdicts += _verdicts(findings, comparison_label(left, right), forget, recipe.claims.alpha)
    return verdicts


def comparison_label(left: Side, right: Side) -> str:
    """Return what verdicts call a comparison."""
    return f"{left.label} → {right.label}"


def split_label(left: str, right: str) -> str:
    """Return what verdicts call the forget splits of its sides."""
    return left if left == right else f"{left} → {right}"


def _splits(recipe: Recipe, left: Side, right: Side) -> list[tuple[str, str]]:
    if left.forget or right.forget:
        one = left.forget or right.forget or ""
        return [(left.forget or one, right.forget or one)]
    return [(label, label) for label in recipe.forget_labels()]


def _paired(
    tracks: dict[Any, Track], seeds: Sequence[int], left: tuple[Side, str], right: tuple[Side, str], method: str
) -> Pairs:
    keys = [
        [(seed, side.arm, stage_name(side.stage), forget, method) for side, forget in (left, right)] for seed in seeds
    ]
    return [(tracks[a], tracks[b]) for a, b in keys if a in tracks and b in tracks]


SCRATCH = "starts from fresh weights, so its first places tell nothing of the stage"


def _findings(
    pairs: Pairs, method: str, claims: Claims, budgets: tuple[float, float] | None, reason: str
) -> Iterator[Finding]:
    """Yield what is found of one method; ``reason`` says why reaching a target means nothing for it, if so."""
    if not pairs or budgets is None:
        yield Finding("efficiency", "updates", "any target", method, None, "", 1.0, "no seed has both stages", 0)
        return
    budget, dose = budgets
    for target in claims.targets:
        at = f"UA ≤ {'oracle' if isinstance(target, str) else format(target, 'g')}"
        usable, note = ([], reason) if reason else _usable(pairs, target)
        yield _efficiency(usable, target, at, method, claims, budget, note)
        yield from _collateral(usable, target, at, method, claims, note)
        yield _gap([(a.at(target), b.at(target)) for a, b in usable], at, method, claims, note)
    matched = f"{'strength' if pairs[0][0].one_shot else 'update'} {dose:g}"
    places = [(a.at_dose(dose), b.at_dose(dose)) for a, b in pairs]
    yield _gap(places, matched, method, claims, "")
    yield _gap([(a.rewound(), b.rewound()) for a, b in pairs], "rewind", method, claims, "")
    yield from _stability(places, matched, method, claims)
    yield from _paper(pairs, places, matched, method, claims)
    if "ES_forget" in pairs[0][0].rows:
        yield from _extraction(pairs, places, matched, method, claims)


def _usable(pairs: Pairs, target: float | str) -> tuple[Pairs, str]:
    """Drop the pairs in which there is nothing to forget, or no oracle, and say how many; censored pairs stay."""
    states = [(a.status(target), b.status(target)) for a, b in pairs]
    usable = [pair for pair, state in zip(pairs, states, strict=True) if not {"nothing", "undefined"} & set(state)]
    parts = []
    for state, text in (("nothing", "nothing to forget"), ("undefined", "no oracle")):
        count = sum(state in both for both in states)
        if count:
            parts.append(f"{text} in {count} of {len(pairs)} pairs")
    censored = [sum(state[side] == "censored" for state in states) for side in (0, 1)]
    if any(censored):
        parts.append(f"target not reached: {censored[0]} → {censored[1]} of {len(pairs)}")
    return usable, "; ".join(parts)


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _efficiency(
    pairs: Pairs, target: float | str, at: str, method: str, claims: Claims, budget: float, note: str
) -> Finding:
    one_shot = bool(pairs) and pairs[0][0].one_shot
    what, margin = "strength" if one_shot else "updates", claims.margins.efficiency
    if not pairs:
        return Finding("efficiency", what, at, method, None, "", margin, note, 0)
    before, after = (_times([pair[side].at(target) for pair in pairs], budget) for side in (0, 1))
    if not (before.reached.any() or after.reached.any()):
        return Finding("efficiency", what, at, method, None, "", margin, _join("everything censored", note), len(pairs))
    estimate, kind = log_ratio(before, after, budget, claims.alpha)
    unit = f"log ratio of {what}"
    if kind != "log ratio" and one_shot:
        # Strengths span decades: their restricted difference is taken in logs, shifted to be positive.
        least = min(before.time.min(), after.time.min())
        a, b = (Times(1 + np.log(times.time / least), times.reached) for times in (before, after))
        estimate, _ = log_ratio(a, b, float(1 + np.log(budget / least)), claims.alpha)
        unit += f", restricted to {budget:g}"
    elif kind != "log ratio":
        unit, margin = f"{what}, restricted to {budget:g}", margin * float(before.time.mean())
    low = min(float(np.median(before.time)), float(np.median(after.time)))
    coarse = f"median of only {low:g} updates" if not one_shot and low < COARSE else ""
    return Finding("efficiency", what, at, method, estimate, unit, margin, _join(coarse, note), len(pairs))


def _times(hits: Sequence[dict[str, Any] | None], budget: float) -> Times:
    """Return the doses at which a target was reached; the budget, marked, where it was not reached within it."""
    doses = np.array([np.inf if hit is None else hit["dose"] for hit in hits], dtype=float)
    return Times(np.minimum(doses, budget), doses <= budget)


Value = float | None
Bounds = tuple[float, float]
Places = Sequence[tuple[dict[str, Any] | None, dict[str, Any] | None]]


def _bounded(
    values: Sequence[tuple[Value, Value]], unknown: Sequence[tuple[Bounds, Bounds]], alpha: float
) -> Estimate | None:
    """Estimate a mean paired difference, left minus right, where some values are only bounded.

    Args:
        values: One pair per seed; None where a target was not reached or the model has diverged.
        unknown: The bounds of each value, used where it is None.
        alpha: One minus the level of the interval.

    Returns:
        None if no pair is known on both sides.

    """
    if not any(None not in pair for pair in values):
        return None
    bounds = [
        [limits if value is None else (value, value) for value, limits in zip(pair, limit, strict=True)]
        for pair, limit in zip(values, unknown, strict=True)
    ]
    (a_low, a_high), (b_low, b_high) = np.array(bounds, dtype=float).transpose(1, 2, 0)
    return bounded_differences(a_low, a_high, b_low, b_high, alpha)


def _number(row: dict[str, Any] | None, name: str) -> Value:
    value = None if row is None else row[name]
    return None if value is None or pd.isna(value) else float(value)


def _drop(track: Track, row: dict[str, Any] | None, name: str, share: bool) -> Value:
    """Return how far an accuracy has fallen from the start of the path to ``row``, or its share of the start."""
    start, now = _number(track.start, name), _number(row, name)
    if start is None or now is None:
        return None
    return (start - now) / (start if share else 1)


def _drop_bounds(track: Track, name: str, share: bool) -> Bounds:
    """Return the least and the largest possible drop: an accuracy lies in [0, 1]."""
    start = _number(track.start, name) or 0.0
    scale = start if share else 1.0
    return (start - 1) / scale, start / scale


def _collateral(
    pairs: Pairs, target: float | str, at: str, method: str, claims: Claims, note: str
) -> Iterator[Finding]:
    for name in ("RA", "TA", "bystander_accuracy"):
        starts = [_number(track.start, name) for pair in pairs for track in pair]
        if None in starts:
            continue
        for share in (False, True):
            if share and 0 in starts:
                continue
            values = [(_drop(a, a.at(target), name, share), _drop(b, b.at(target), name, share)) for a, b in pairs]
            unknown = [(_drop_bounds(a, name, share), _drop_bounds(b, name, share)) for a, b in pairs]
            estimate = _bounded(values, unknown, claims.alpha)
            reason = "" if estimate or not pairs else "no pair in which both reached the target"
            metric, unit = (f"{name} share", "share of the starting accuracy") if share else (name, "accuracy")
            margin = claims.margins.collateral
            yield Finding("collateral", metric, at, method, estimate, unit, margin, _join(reason, note), len(pairs))


def _gap(places: Places, at: str, method: str, claims: Claims, note: str) -> Finding:
    values = [(_number(a, "oracle_gap"), _number(b, "oracle_gap")) for a, b in places]
    estimate = _bounded(values, [((0, 1), (0, 1))] * len(places), claims.alpha)
    reason = "" if estimate or not places else "no pair in which both gaps are known"
    margin = claims.margins.oracle_gap
    return Finding("oracle_gap", "gap", at, method, estimate, "accuracy", margin, _join(reason, note), len(places))


def _stability(places: Places, at: str, method: str, claims: Claims) -> Iterator[Finding]:
    levels = [np.mean([_number(row, "UA") or 0.0 for row in side]) for side in zip(*places, strict=True)]
    # A stage that has not moved yet spreads little: say how far each has come.
    context = f"mean UA {levels[0]:.2f} → {levels[1]:.2f} at this dose"
    for name in ("UA", "RA", "TA"):
        left, right = ([_number(row, name) for row in side] for side in zip(*places, strict=True))
        estimate, note = None, ""
        if None in left or None in right:
            note = f"diverged: {left.count(None)} → {right.count(None)} of {len(places)}"
        else:
            try:
                estimate = spread_ratio(np.array(left), np.array(right), claims.alpha)
            except ValueError as error:
                note = str(error)
        note = _join(note, context)
        unit, margin = "log ratio of standard deviations", claims.margins.stability
        yield Finding("stability", name, at, method, estimate, unit, margin, note, len(places))


def _paper(pairs: Pairs, places: Places, at: str, method: str, claims: Claims) -> Iterator[Finding]:
    for name in ("UA", "RA", "TA"):
        values = [(_number(a, name), _number(b, name)) for a, b in places]
        if name != "UA":
            # Larger RA and TA agree with the paper: right minus left.
            values = [(b, a) for a, b in values]
        estimate = _bounded(values, [((0, 1), (0, 1))] * len(places), claims.alpha)
        starts = [np.mean([_number(track.start, name) or 0.0 for track in side]) for side in zip(*pairs, strict=True)]
        note = f"started from {starts[0]:.3f} → {starts[1]:.3f}"
        note = note if estimate else _join("diverged", note)
        yield Finding("paper", name, at, method, estimate, "accuracy", claims.margins.paper, note, len(places))
    yield _ues(pairs, places, at, method, claims)


def _ues(pairs: Pairs, places: Places, at: str, method: str, claims: Claims) -> Finding:
    scores = [
        [
            ues(*({name: _number(row, name) for name in NAMES} for row in (track.start, row)))
            for track, row in zip(pair, place, strict=True)
        ]
        for pair, place in zip(pairs, places, strict=True)
    ]
    defined = np.array([pair for pair in scores if None not in pair], dtype=float)
    note = f"defined in {len(defined)} of {len(pairs)} pairs"
    if not len(defined):
        return Finding("paper", "UES", at, method, None, "1/accuracy", 0.0, note, 0)
    negative = int((defined < 0).sum())
    note += f"; unstable: from {defined.min():.3g} to {defined.max():.3g}, negative in {negative} of {defined.size}"
    estimate = sign_flip(defined[:, 1] - defined[:, 0], claims.alpha)
    return Finding("paper", "UES", at, method, estimate, "1/accuracy", 0.0, note, len(defined))


def _extraction(pairs: Pairs, places: Places, at: str, method: str, claims: Claims) -> Iterator[Finding]:
    """Yield the differences of extraction strength: as the paper reads them, and of the distance from the oracle."""
    for name, left, right in (("ES_forget", 0, 1), ("ES_retain", 1, 0), ("ES_forget gap", 0, 1)):
        column = name.removesuffix(" gap")
        measure = _extraction_gap if name != column else _number
        values = [(measure(pair[left], column), measure(pair[right], column)) for pair in places]
        estimate = _bounded(values, [((0, 1), (0, 1))] * len(places), claims.alpha)
        starts = [np.mean([_number(track.start, column) or 0.0 for track in side]) for side in zip(*pairs, strict=True)]
        note = f"started from {starts[0]:.3f} → {starts[1]:.3f}"
        note = note if estimate else _join("diverged, or no oracle", note)
        yield Finding(
            "extraction", name, at, method, estimate, "extraction strength", claims.margins.paper, note, len(places)
        )


def _extraction_gap(row: dict[str, Any] | None, name: str) -> Value:
    value, oracle = _number(row, name), _number(row, f"oracle_{name}")
    return None if value is None or oracle is None else abs(value - oracle)


def _verdicts(findings: list[Finding], comparison: str, forget: str, alpha: float) -> list[dict[str, Any]]:
    """Adjust p-values within each family and decide."""

    def family(finding: Finding) -> tuple[str, str, str]:
        metric = "dose" if finding.claim == "efficiency" else finding.metric
        # Matched doses and strengths are one setting, whatever their number.
        at = finding.at if finding.at.startswith("UA") or finding.at == "rewind" else "dose"
        return finding.claim, metric, at

    out = []
    for _, group in groupby(sorted(findings, key=family), key=family):
        members = list(group)
        # A method without an estimate stays in the family, or the others' verdicts would depend on it.
        adjusted = holm([f.estimate.p_value if f.estimate else 1.0 for f in members])
        out += [_verdict(f, p, comparison, forget, alpha) for f, p in zip(members, adjusted, strict=True)]
    order = list(CLAIMS)
    return sorted(out, key=lambda v: order.index(v["claim"]))


def _verdict(f: Finding, p_value: float, comparison: str, forget: str, alpha: float) -> dict[str, Any]:
    decided, reason = "inconclusive", ""
    if f.estimate is not None:
        decided, reason = verdict(f.estimate, p_value, f.margin, alpha)
    setting = {"forget": forget, "method": f.method, "metric": f.metric, "at": f.at}
    return {
        "claim": f.claim,
        "comparison": comparison,
        "setting": setting,
        "effect": _json(f.estimate, "effect"),
        "unit": f.unit,
        "ci_low": _json(f.estimate, "low"),
        "ci_high": _json(f.estimate, "high"),
        "n_seeds": f.n,
        "p_value": None if f.estimate is None else p_value,
        "verdict": decided,
        "note": _join(reason, f.note),
    }


def _json(estimate: Estimate | None, name: str) -> float | None:
    """Return a value of an estimate, or None for what JSON cannot hold: an interval without an end."""
    value = None if estimate is None else float(getattr(estimate, name))
    # Adding zero turns −0.0 into 0.0.
    return value + 0.0 if value is not None and isfinite(value) else None
