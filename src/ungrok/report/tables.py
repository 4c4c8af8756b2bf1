"""Tables: rows of text, made from the results and nothing else."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ungrok.evaluate.gap import NAMES, oracle_gap
from ungrok.report.format import (
    MISSING,
    factor,
    fixed,
    in_unit,
    interval,
    level,
    mean_sd,
    median_range,
    missing,
    number,
    p_value,
    plural,
    restriction,
    whole,
)
from ungrok.report.view import Reach, View
from ungrok.study.claims import CLAIMS, COARSE, Track, comparison_label
from ungrok.study.recipe import Side
from ungrok.study.statistics import wilson
from ungrok.train.stages import stage_name

VERDICTS = ("supported", "refuted", "inconclusive")

HEADLINE = {
    "efficiency": ("updates",),
    "collateral": ("RA", "TA", "bystander_accuracy"),
    "oracle_gap": ("gap",),
    "stability": ("UA", "RA", "TA"),
    "paper": ("UA", "RA", "TA"),
    "extraction": ("ES_forget", "ES_retain", "ES_forget gap"),
}
"""Per claim, the metrics of the headline matrix; strengths stand under ``updates``."""

AT_TARGET = ("efficiency", "collateral", "oracle_gap")
"""Claims whose headline is taken at the primary target; the others are taken at the matched dose."""

SHORT = {"bystander_accuracy": "bystander"}

NAMED = {
    "efficiency": "efficiency",
    "collateral": "collateral damage",
    "oracle_gap": "oracle gap",
    "stability": "stability",
    "paper": "the paper's reading",
    "extraction": "extraction",
}
"""Claims as prose names them."""


@dataclass(frozen=True)
class Cell:
    """A cell of several lines; ``tone`` is a verdict, shown as a tint beside the word."""

    lines: tuple[str, ...]
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table, with one sentence on how to read it.

    Args:
        title: What it holds.
        how: How to read it.
        columns: The head.
        rows: As many cells as there are columns.
        keys: Number of columns that name the row.
        groups: A line above the head: texts and the columns they span; empty for none.

    """

    title: str
    how: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    keys: int = 1
    groups: Sequence[tuple[str, int]] = ()

    @property
    def starts(self) -> set[int]:
        """The columns, counted from 0, with which a group begins."""
        return {sum(span for _, span in self.groups[:index]) for index in range(1, len(self.groups))}


def at_of(view: View, verdict: dict[str, Any]) -> bool:
    """Return whether a verdict belongs to the primary setting: the primary target, or the matched dose."""
    at: str = verdict["setting"]["at"]
    if verdict["claim"] not in AT_TARGET:
        return not at.startswith("UA") and at != "rewind"
    return at in (level(view.primary), "any target")


def headline_verdicts(view: View) -> list[dict[str, Any]]:
    """Return the verdicts of the headline matrix: the primary setting and the headline metrics."""

    def metric(verdict: dict[str, Any]) -> str:
        name: str = verdict["setting"]["metric"]
        return "updates" if verdict["claim"] == "efficiency" else name

    return [v for v in view.verdicts if metric(v) in HEADLINE[v["claim"]] and at_of(view, v)]


def class_like(view: View) -> list[str]:
    """Return the forget splits made of classes, or all where there is none."""
    labels = [rule.label for rule in view.recipe.forget if rule.kind.startswith("class")]
    return labels or view.recipe.forget_labels()


def stage_pairs(view: View) -> list[str]:
    """Return the comparisons of two stages of one training, or all where there is none: controls answer another question."""
    controls, pairs = view.recipe.controls, view.recipe.claims.compare
    plain = [
        (left, right)
        for left, right in pairs
        if left.arm == right.arm and not {str(left.stage), str(right.stage)} & controls.keys()
    ]
    return [comparison_label(left, right) for left, right in plain or pairs]


def answer(view: View) -> dict[str, dict[str, int]]:
    """Return, per claim, how many verdicts of stage pairs at the primary setting on class-like splits were of each kind."""
    splits, pairs = class_like(view), stage_pairs(view)
    shown = [
        v
        for v in headline_verdicts(view)
        if v["setting"]["forget"].split(" → ")[0] in splits and v["comparison"] in pairs
    ]
    counts = {claim: [v["verdict"] for v in shown if v["claim"] == claim] for claim in HEADLINE}
    return {claim: {word: found.count(word) for word in VERDICTS} for claim, found in counts.items() if found}


def headline(view: View) -> Iterator[Table]:
    """Yield two matrices per comparison and forget split: methods by claims, at the primary target and at the matched dose."""
    shown = headline_verdicts(view)
    for comparison, forget in dict.fromkeys((v["comparison"], v["setting"]["forget"]) for v in shown):
        here = {
            (v["setting"]["method"], v["claim"], "updates" if v["claim"] == "efficiency" else v["setting"]["metric"]): v
            for v in shown
            if (v["comparison"], v["setting"]["forget"]) == (comparison, forget)
        }
        methods = list(dict.fromkeys(method for method, _, _ in here))
        for at_target, at in ((True, level(view.primary)), (False, "the matched dose")):
            claims = {claim: metrics for claim, metrics in HEADLINE.items() if (claim in AT_TARGET) == at_target}
            keys = [(claim, metric) for claim, metrics in claims.items() for metric in metrics]
            keys = [key for key in keys if any((method, *key) in here for method in methods)]
            rows = [[method, *(_verdict_cell(here.get((method, *key))) for key in keys)] for method in methods]
            groups = [("", 1), *((NAMED[claim], n) for claim, n in Counter(claim for claim, _ in keys).items())]
            heads = [f"{SHORT.get(name, name)} drop" if claim == "collateral" else name for claim, name in keys]
            how = (
                "Each cell holds the verdict, the effect and its interval for one method; a positive effect agrees with "
                "the paper."
            )
            if keys:
                yield Table(
                    f"{comparison}, forget split {forget}, at {at}", how, ["method", *heads], rows, groups=groups
                )


def _verdict_cell(verdict: dict[str, Any] | None) -> str | Cell:
    if verdict is None:
        return MISSING
    word, unit = verdict["verdict"], verdict["unit"]
    if missing(verdict["effect"]):
        return Cell((word, re.split("[;:]", verdict["note"])[0]), word)
    plain = "updates" if unit.startswith("updates") else ""
    extra = [
        text for text in (factor(verdict["effect"], unit) or plain, restriction(unit), _held_back(verdict)) if text
    ]
    return Cell((word, in_unit(verdict["effect"], unit), interval(verdict), *extra), word)


def _held_back(verdict: dict[str, Any]) -> str:
    """Return the p-value that leaves a verdict open although its interval lies on one side of zero."""
    low, high = (verdict[end] for end in ("ci_low", "ci_high"))
    beyond = (not missing(low) and low > 0) or (not missing(high) and high < 0)
    return f"adjusted p = {fixed(verdict['p_value'], 2)}" if beyond and verdict["verdict"] == "inconclusive" else ""


def all_verdicts(view: View) -> Iterator[tuple[str, Table]]:
    """Yield, per claim, its counts and the table of its verdicts."""
    columns = [
        "comparison",
        "forget split",
        "method",
        "metric",
        "at",
        "effect",
        "interval",
        "unit",
        "n",
        "Holm p",
        "verdict",
        "note",
    ]
    for claim, statement in CLAIMS.items():
        found = [v for v in view.verdicts if v["claim"] == claim]
        if found:
            words = [v["verdict"] for v in found]
            counts = ", ".join(f"{words.count(word)} {word}" for word in VERDICTS)
            yield counts, Table(NAMED[claim], statement, columns, [_verdict_row(v) for v in found], keys=5)


def _verdict_row(v: dict[str, Any]) -> list[str | Cell]:
    names = [v["setting"][key] for key in ("forget", "method", "metric", "at")]
    factors = (factor(v["effect"], v["unit"]),) if factor(v["effect"], v["unit"]) else ()
    effect = [Cell((in_unit(v["effect"], v["unit"]), *factors)), interval(v), v["unit"].replace("e-", "e−") or MISSING]
    tested = [str(v["n_seeds"]), p_value(v["p_value"]), Cell((v["verdict"],), v["verdict"])]
    return [v["comparison"], *names, *effect, *tested, v["note"]]


def oracle_gaps(view: View) -> Iterator[Table]:
    """Yield one table per forget split: where each method ended, beside the retrained oracle."""
    names = ["UA", "RA", "TA", "gap"]
    groups = [("", 2), (f"at {level(view.primary)}", 5), ("at the matched dose", 4), ("at rewind", 4)]
    how = (
        "Mean ± standard deviation over seeds; gap is the mean distance of UA, RA and TA from those of the retrained oracle, whose own "
        "rows repeat under each head and give as gap the noise floor: its distance from a second oracle of another seed."
    )
    for forget in view.recipe.forget_labels():
        rows = [row for series in view.series for row in _oracle_rows(view, *series, forget)]
        for method in view.methods:
            rows += [
                _gap_row(view, *series, forget, method)
                for series in view.series
                if view.tracks(*series, forget, method)
            ]
        if rows:
            columns = ["method", "stage", "reached", *names, *names, *names]
            yield Table(f"Distance from the oracle, forget split {forget}", how, columns, rows, keys=2, groups=groups)


def _oracle_rows(view: View, arm: str, stage: str, forget: str) -> list[list[str | Cell]]:
    oracles = view.results.oracles
    here = oracles[(oracles["arm"] == arm) & (oracles["stage"] == stage) & (oracles["forget"] == forget)]
    if here[list(NAMES)].isna().all(axis=None):
        return []
    floor = noise_floor(here)
    last = Cell((fixed(sum(floor) / len(floor)), f"n = {len(floor)}")) if floor else MISSING
    values = [*(Cell(mean_sd(list(here[name]))) for name in NAMES), last]
    return [["oracle", view.label(arm, stage), MISSING, *values, *values, *values]]


def noise_floor(oracles: pd.DataFrame) -> list[float]:
    """Return, for each row that has a second oracle, the mean absolute difference of UA, RA and TA between the two."""
    if "second_UA" not in oracles:
        return []
    pairs = [({n: row[n] for n in NAMES}, {n: row[f"second_{n}"] for n in NAMES}) for row in oracles.to_dict("records")]
    known = [pair for pair in pairs if not any(missing(value) for side in pair for value in side.values())]
    return [gap for gap in (oracle_gap(*pair) for pair in known) if gap is not None]


def _gap_row(view: View, arm: str, stage: str, forget: str, method: str) -> list[str | Cell]:
    tracks = list(view.tracks(arm, stage, forget, method).values())
    reach = view.reach(arm, stage, forget, method)
    hits = [row for row in (t.at(view.primary) for t in tracks if t.status(view.primary) == "reached") if row]
    matched = [t.at_dose(view.budgets[method][1]) for t in tracks]
    rewound = [t.rewound() for t in tracks]
    cells = [_places(hits), _places(matched), _places(rewound)]
    return [method, view.label(arm, stage), _reached(reach), *(cell for group in cells for cell in group)]


def _places(rows: Sequence[dict[str, Any] | None]) -> list[Cell]:
    return [Cell(mean_sd([None if row is None else row[name] for row in rows])) for name in (*NAMES, "oracle_gap")]


def ranking(view: View) -> Iterator[Table]:
    """Yield one table per forget split: methods by their distance from the oracle, at every stage."""
    how = (
        "Each path is read at the place that rewinding selects, which needs no oracle and no test data, and at its end; methods are "
        "ranked by the mean gap, and stand in the order of their mean rank when rewound. “none” is the model as it was: a method below it is "
        "worse than doing nothing. Rewinding presumes a path that starts from the trained model; methods that start from fresh weights "
        "(retrain, exact_unlearning_k) are to be read at their end. Mean ± standard deviation over seeds; no rank where no seed has a gap."
    )
    for forget in view.recipe.forget_labels():
        places = {series: _ranked(view, *series, forget) for series in view.series}
        methods = [m for m in (*view.methods, NOTHING) if any(m in rows for rows, _ in places.values())]
        if len(methods) > 2:
            ranks = {series: (_ranks(rewound), _ranks(ends)) for series, (rewound, ends) in places.items()}
            methods.sort(key=lambda m: sum(rewound.get(m, len(methods)) for rewound, _ in ranks.values()))
            rows = [[m, *(c for s in view.series for c in _rank_cells(places[s], ranks[s], m))] for m in methods]
            groups = [("", 1), *((view.label(*series), 5) for series in view.series)]
            columns = ["method", *["rank rewound", "gap", "UA", "rank at the end", "gap"] * len(view.series)]
            yield Table(
                f"Methods by distance from the oracle, forget split {forget}", how, columns, rows, groups=groups
            )


NOTHING = "none"
"""The row of the model before any unlearning."""

Rows = dict[str, list[dict[str, Any]]]
"""By method, one row per seed."""


def _ranked(view: View, arm: str, stage: str, forget: str) -> tuple[Rows, Rows]:
    """Return each method's rows at the rewound places and at the ends; without a method both are the start."""
    rewound: Rows = {}
    ends: Rows = {}
    for method in view.methods:
        tracks = list(view.tracks(arm, stage, forget, method).values())
        if tracks:
            rewound[method] = [track.rewound() or dict.fromkeys(("UA", "oracle_gap")) for track in tracks]
            ends[method] = [dict(track.rows.iloc[-1]) for track in tracks]
            rewound[NOTHING] = ends[NOTHING] = [track.start for track in tracks]
    return rewound, ends


def _ranks(rows: Rows) -> dict[str, int]:
    gaps = {m: [row["oracle_gap"] for row in found if not missing(row["oracle_gap"])] for m, found in rows.items()}
    means = {method: sum(values) / len(values) for method, values in gaps.items() if values}
    return {method: 1 + sum(other < mean for other in means.values()) for method, mean in means.items()}


def _rank_cells(places: tuple[Rows, Rows], ranks: tuple[dict[str, int], ...], method: str) -> list[str | Cell]:
    rewound, ends = (rows.get(method, []) for rows in places)
    first, last = (str(found[method]) if method in found else MISSING for found in ranks)
    gap, ua, end = (
        Cell(mean_sd([row[name] for row in rows]))
        for rows, name in ((rewound, "oracle_gap"), (rewound, "UA"), (ends, "oracle_gap"))
    )
    return [first, gap, ua, last, end]


def _reached(reach: Reach) -> str:
    return f"{len(reach.times)} of {reach.n}"


def updates_to_target(view: View) -> Iterator[Table]:
    """Yield one table per forget split: updates (or strength) to each target."""
    targets = view.recipe.claims.targets
    columns = ["method", "stage", *["median [range]", "reached", "nothing to forget", "not reached"] * len(targets)]
    groups = [("", 2), *((level(target), 4) for target in targets)]
    how = (
        "Median and range of the updates (for one-shot methods the strength) to each target over the seeds that had something to "
        "forget; > x means that all that is known is that the median, or the range, goes beyond x."
    )
    for forget in view.recipe.forget_labels():
        rows = []
        for method in view.methods:
            for arm, stage in view.series:
                reaches = [view.reach(arm, stage, forget, method, target) for target in targets]
                if reaches[0].n:
                    rows.append([method, view.label(arm, stage), *(cell for r in reaches for cell in _reach_cells(r))])
        if rows:
            yield Table(f"Updates to target, forget split {forget}", how, columns, rows, keys=2, groups=groups)


def _reach_cells(reach: Reach) -> list[str | Cell]:
    reached = _reached(reach) + (f", no oracle in {reach.undefined}" if reach.undefined else "")
    return [_median_cell(reach), reached, str(reach.nothing), str(reach.censored)]


def _median_cell(reach: Reach) -> Cell:
    return Cell((reach.median(), *([reach.range()] if reach.range() else [])))


RATE = re.compile(r"(?P<family>.*) lr=(?P<rate>\S+)")


def families(labels: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return, per method given with a grid of learning rates, its labels by rate, smallest first."""
    found: dict[str, dict[str, str]] = {}
    for label in labels:
        if match := RATE.fullmatch(label):
            found.setdefault(match["family"], {})[match["rate"]] = label
    grids = {family: rates for family, rates in found.items() if len(rates) > 1}
    return {family: dict(sorted(rates.items(), key=lambda item: float(item[0]))) for family, rates in grids.items()}


def _fall(track: Track, row: dict[str, Any] | None, name: str) -> float:
    return math.nan if row is None or missing(row[name]) else float(track.start[name]) - float(row[name])


def fall_at_target(view: View, arm: str, stage: str, forget: str, method: str, name: str) -> float:
    """Return the median drop of an accuracy at the primary target, over the seeds that reached it."""
    reach = view.reach(arm, stage, forget, method)
    tracks = view.tracks(arm, stage, forget, method)
    falls = [_fall(tracks[seed], tracks[seed].at(view.primary), name) for seed in reach.times]
    return float(pd.Series(falls, dtype=float).median())


def best_rate(view: View, arm: str, stage: str, forget: str, rates: dict[str, str]) -> str | None:
    """Return the rate with the least median drop of validation accuracy, of those that reach the target in most seeds."""
    falls = {}
    for rate, label in rates.items():
        reach = view.reach(arm, stage, forget, label)
        fall = fall_at_target(view, arm, stage, forget, label, "validation_accuracy")
        if len(reach.times) * 2 > reach.at_risk and not math.isnan(fall):
            falls[rate] = fall
    return min(falls, key=lambda rate: falls[rate]) if falls else None


def learning_rates(view: View) -> Iterator[Table]:
    """Yield, where a method was given several learning rates, the best per stage beside identical settings."""
    grids = families(view.recipe.unlearn_labels())
    rates = sorted({rate for grid in grids.values() for rate in grid}, key=float)
    columns = [
        "method",
        "stage",
        *(f"lr {rate}" for rate in rates),
        "rate",
        "median [range]",
        "reached",
        "validation drop",
        "TA drop",
    ]
    groups = [
        ("", 2),
        ("identical settings: median updates, seeds that reached", len(rates)),
        ("the rate chosen for this stage", 5),
    ]
    how = (
        f"The rate chosen is, of those that reach {level(view.primary)} in most seeds, the one with the least median drop of validation "
        "accuracy there; choosing on the seeds that are then shown is optimistic."
    )
    for forget in view.recipe.forget_labels():
        rows = [
            _rates_row(view, *series, forget, family, grid, rates)
            for family, grid in grids.items()
            for series in view.series
            if any(view.tracks(*series, forget, label) for label in grid.values())
        ]
        if rows:
            yield Table(f"Learning rates, forget split {forget}", how, columns, rows, keys=2, groups=groups)


def _rates_row(
    view: View, arm: str, stage: str, forget: str, family: str, grid: dict[str, str], rates: Sequence[str]
) -> list[str | Cell]:
    reaches = {rate: view.reach(arm, stage, forget, label) for rate, label in grid.items()}
    same = [f"{reaches[rate].median()} ({_reached(reaches[rate])})" if rate in grid else MISSING for rate in rates]
    row: list[str | Cell] = [family, view.label(arm, stage), *same]
    best = best_rate(view, arm, stage, forget, grid)
    if best is None:
        return [*row, "none in most seeds", *[MISSING] * 4]
    falls = [
        fixed(fall_at_target(view, arm, stage, forget, grid[best], name)) for name in ("validation_accuracy", "TA")
    ]
    reach = reaches[best]
    return [*row, best, _median_cell(reach), _reached(reach), *falls]


def transitions(view: View) -> Table:
    """Return one row per trajectory: when it memorized, when it grokked, and where its stages lie."""
    table = view.results.transitions
    columns = [
        "arm",
        "seed",
        "status",
        "memorized in",
        "grokked in",
        "delay",
        "change point (R²)",
        *view.stages,
        "final TA",
    ]
    rows = [
        [
            str(row["arm"]), str(row["seed"]), str(row["status"]), _crossing(row, "memorized"), _crossing(row, "grokked"),
            MISSING if missing(row["delay"]) else f"{fixed(row['delay'], 2)}×",
            MISSING if missing(row["change_point"]) else f"{whole(row['change_point'])} ({fixed(row['change_point_r2'], 2)})",
            *(whole(row[f"stage_{stage}"]) for stage in view.stages), fixed(row["final_test_accuracy"]),
        ]
        for row in table.to_dict("records")
    ]  # fmt: skip
    how = (
        "Steps are known only up to the grid on which training was evaluated: (a, b] means after step a and no later than b; delay is "
        "the ratio of the two steps, and stages give the step of each checkpoint."
    )
    return Table("Transitions", how, columns, rows, keys=3)


def _crossing(row: dict[Any, Any], name: str) -> str:
    step, after = row[f"{name}_step"], row[f"{name}_after"]
    return MISSING if missing(step) else f"({whole(after)}, {whole(step)}]"


def grok_rates(view: View) -> Table:
    """Return, per arm and for the oracles of each forget split, how many trajectories grokked and what became of the rest."""
    alpha = view.recipe.claims.alpha
    rows = []
    for arm in view.arms:
        table = view.results.transitions
        rows.append([arm, "all training data", *_rate_cells(list(table.loc[table["arm"] == arm, "status"]), alpha)])
        oracles = view.results.oracles.drop_duplicates(["arm", "seed", "forget"])
        for forget in view.recipe.forget_labels():
            here = oracles[(oracles["arm"] == arm) & (oracles["forget"] == forget)]
            rows.append([arm, f"oracles, without {forget}", *_rate_cells(list(here["oracle_status"]), alpha)])
    interval_name = f"{1 - alpha:.0%} interval (Wilson)"
    how = (
        f"A trajectory counts as grokked if {view.signal} holds its level, late, to the end; all other ends are "
        "listed. An oracle that never saw a class cannot hold an absolute level on validation data with that class in it."
    )
    return Table(
        "How many grokked", how, ["arm", "trained on", "grokked", "share", interval_name, "others"], rows, keys=2
    )


def _rate_cells(statuses: Sequence[str], alpha: float) -> list[str]:
    count, n = statuses.count("grokked"), len(statuses)
    low, high = wilson(count, n, alpha)
    others = [status for status in dict.fromkeys(statuses) if status != "grokked"]
    listed = ", ".join(f"{statuses.count(status)} {status}" for status in others)
    share = fixed(count / n, 2) if n else MISSING
    return [f"{count} of {n}", share, f"[{fixed(low, 2)}, {fixed(high, 2)}]", listed or "none"]


@dataclass(frozen=True)
class ExtraTraining:
    """What training on from one stage to another cost: per seed, extra steps and extra seconds."""

    steps: list[float]
    seconds: list[float]


def extra_training(view: View, left: Side, right: Side) -> ExtraTraining:
    """Return the extra steps and seconds of the right stage, for the seeds that have both."""
    timings = view.results.timings
    per = dict(zip(timings["key"], timings["seconds_per_update"].astype(float), strict=True))
    rows = {(row["arm"], row["seed"]): row for row in view.results.transitions.to_dict("records")}
    cost = ExtraTraining([], [])
    for seed in view.recipe.seeds:
        ends = [rows[side.arm, seed][f"stage_{stage_name(side.stage)}"] for side in (left, right)]
        if not any(map(missing, ends)):
            pace = [per[view.plan.trajectories[side.arm, seed]] for side in (left, right)]
            cost.steps.append(float(ends[1] - ends[0]))
            cost.seconds.append(ends[1] * pace[1] - ends[0] * pace[0])
    return cost


def break_even(extra_seconds: float, saved_per_request: float) -> str:
    """Return after how many deletion requests the extra training has paid for itself."""
    if math.isnan(extra_seconds) or math.isnan(saved_per_request):
        return MISSING
    if saved_per_request <= 0:
        return "never: the later stage needs more" if saved_per_request < 0 else "never: both need the same"
    return "at once" if extra_seconds <= 0 else f"{math.ceil(extra_seconds / saved_per_request):,}"


def training_cost(view: View) -> Table | None:
    """Return what each comparison's later stage cost in training, or None where nothing is compared."""
    rows = []
    for left, right in dict.fromkeys((left, right) for left, right, _, _ in view.comparisons()):
        cost = extra_training(view, left, right)
        comparison = comparison_label(left, right)
        rows.append([comparison, str(len(cost.steps)), median_range(cost.steps), median_range(cost.seconds)])
    how = "Median and range over seeds of how much longer the second stage trained; seconds include evaluating and saving on the way."
    columns = ["comparison", "seeds", "extra training steps", "extra seconds"]
    return Table("Extra training", how, columns, rows) if rows else None


def request_cost(view: View) -> Table | None:
    """Return what a deletion request costs from either stage, or None where no method ever reached the target from both."""
    rows = []
    for left, right, *forgets in view.comparisons():
        extra = float(pd.Series(extra_training(view, left, right).seconds, dtype=float).median())
        for method in view.methods:
            sides = [
                (side.arm, stage_name(side.stage), forget) for side, forget in zip((left, right), forgets, strict=True)
            ]
            if not view.one_shot(method) and view.tracks(*sides[0], method) and view.tracks(*sides[1], method):
                names = [
                    comparison_label(left, right),
                    forgets[0] if forgets[0] == forgets[1] else " → ".join(forgets),
                    method,
                ]
                rows.append([*names, *_request_cells(view, sides, method, extra)])
    how = (
        f"Median updates to {level(view.primary)} over the seeds in which both stages reached it, times the method's seconds per update; "
        "the last column is how many deletion requests earn the extra training back. One-shot methods make no updates and are left out."
    )
    columns = [
        "comparison",
        "forget split",
        "method",
        "both reached",
        "updates before",
        "updates after",
        "seconds per update",
        "seconds saved per request",
        "requests to break even",
    ]
    return Table("Deletion requests", how, columns, rows, keys=3) if rows else None


def _request_cells(view: View, sides: Sequence[tuple[str, str, str]], method: str, extra: float) -> list[str]:
    before, after = (view.reach(*side, method) for side in sides)
    both = [seed for seed in before.times if seed in after.times]
    count = f"{len(both)} of {min(before.n, after.n)}"
    if not both:
        return [count, *[MISSING] * 4, "never reached from both"]
    times = pd.DataFrame({"left": before.times, "right": after.times}).loc[both]
    per = seconds_per_update(view, sides, method)
    saved = float((times["left"] - times["right"]).median()) * per
    return [
        count,
        *(number(times[side].median()) for side in times),
        number(per),
        number(saved),
        break_even(extra, saved),
    ]


def seconds_per_update(view: View, sides: Sequence[tuple[str, str, str]], method: str) -> float:
    """Return the median seconds per update of a method's paths from these places."""
    places = {(*side, method) for side in sides}
    keys = [cell.path for cell in view.plan.paths if (cell.arm, cell.stage, cell.forget, cell.method) in places]
    timings = view.results.timings
    return float(timings.loc[timings["key"].isin(keys), "seconds_per_update"].astype(float).median())


def warnings(view: View) -> list[str]:
    """Return what limits the conclusions, in whole sentences."""
    return [*view.plan.warnings, *_coarse(view), *_absent(view), *_diverged(view)]


def _coarse(view: View) -> list[str]:
    coarse = [v["setting"] for v in view.verdicts if v["claim"] == "efficiency" and "median of only" in v["note"]]
    if not coarse:
        return []
    methods = ", ".join(dict.fromkeys(setting["method"] for setting in coarse))
    text = (
        f"In {plural(len(coarse), 'efficiency comparison')} the median to target is below {COARSE} updates ({methods})"
    )
    return [f"{text}: one update is then more than 5 %, and a ratio says little."]


def _absent(view: View) -> list[str]:
    found = []
    for arm, stage in view.series:
        rows = view.results.transitions[view.results.transitions["arm"] == arm]
        absent = rows[rows[f"stage_{stage}"].isna()]
        if len(absent):
            statuses = ", ".join(dict.fromkeys(map(str, absent["status"])))
            found.append(
                f"Stage {view.label(arm, stage)} is missing in {len(absent)} of {plural(len(rows), 'seed')} ({statuses}); these seeds are in no comparison with it."
            )
    return found


def _diverged(view: View) -> list[str]:
    found = []
    for arm, statuses in view.results.transitions.groupby("arm")["status"]:
        if count := int((statuses == "diverged").sum()):
            found.append(f"Training diverged in {count} of {plural(len(statuses), 'seed')} (arm {arm}).")
    broken: dict[tuple[str, str], list[bool]] = {}
    for (arm, stage, _, method), tracks in view.paths.items():
        if stage in view.stages:
            flags = [bool(track.rows["diverged"].any()) for track in tracks.values()]
            broken.setdefault((method, view.label(arm, stage)), []).extend(flags)
    paths = [
        f"{method} from {stage} {sum(flags)} of {len(flags)}" for (method, stage), flags in broken.items() if any(flags)
    ]
    if paths:
        found.append(f"Unlearning paths that ended in non-finite numbers: {'; '.join(sorted(paths))}.")
    return found


def provenance(made: dict[str, Any]) -> Table:
    """Return versions, hardware and times as a table of two columns."""
    return Table(
        "Provenance", "What this report was made with.", ["what", "value"], [list(row) for row in _flat(made, "")]
    )


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name} {key}".strip())
    else:
        yield name.replace("_", " "), MISSING if value is None else str(value)
