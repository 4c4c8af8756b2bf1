"""Does a measure of mechanism predict the cost of unlearning beyond test accuracy?"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from ungrok.study.claims import LOR, Track
from ungrok.study.recipe import BASE, Recipe

Floats = NDArray[np.float64]

OUTCOMES = {
    "damage": "fall of test accuracy at the matched dose, a diverged model being the most",
    "updates": "dose at which the first numeric target is reached, never being the most",
}

MEASURE = ["analysis", "measure", "on", "layer"]

BESIDE = re.compile(
    r"_(?:residual|q\d\d|angle|expected|unbiased|biased|fraction)$|^llc_|^normalized_|^hessian_(?:above|below)_|^modules_(?!r2)|^full_loss$|^clean_accuracy$"
)
"""Readings that stand beside a measure and are none themselves: error bounds, diagnostics, other forms of the same."""

FEWEST = 5
"""Under so many seeds, resampling them says nothing."""


def headline(mechanism: pd.DataFrame) -> pd.DataFrame:
    """Return the measured values of whole models and penultimate layers, without what stands beside them."""
    main = mechanism["layer"].isin(["model", "penultimate"]) & (mechanism["null"] == "")
    return mechanism[main & ~mechanism["measure"].str.contains(BESIDE)]


def partial_rank_correlation(x: Floats, y: Floats, z: Floats | None = None, weights: Floats | None = None) -> Floats:
    """Return Spearman's correlation of x and y, given z: the correlation of what ranks of z leave of their ranks.

    ``(r_xy − r_xz·r_yz) / √((1 − r_xz²)(1 − r_yz²))`` with r of ranks, ties averaged.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        z: Shape (n,), or None.
        weights: Shape (draws, n): how often each point counts; ranks are those of all points. Once each when None.

    Returns:
        Shape (draws,), or () without weights, in [−1, 1]; nan where x or y does not vary, or is a function of z.

    """
    count = np.ones((1, len(x))) if weights is None else weights
    share = count / count.sum(axis=1, keepdims=True)
    ranks = [rankdata(values) for values in (x, y, np.zeros(len(x)) if z is None else z)]
    centered = [r - share @ r[:, None] for r in ranks]

    def correlation(i: int, j: int) -> Floats:
        inner, one, two = ((share * centered[a] * centered[b]).sum(axis=1) for a, b in ((i, j), (i, i), (j, j)))
        return np.asarray(inner / np.sqrt(one * two), dtype=np.float64)

    with np.errstate(divide="ignore", invalid="ignore"):
        # A z that does not vary explains nothing.
        xy, xz, yz = correlation(0, 1), np.nan_to_num(correlation(0, 2)), np.nan_to_num(correlation(1, 2))
        left = np.sqrt(np.clip((1 - xz**2) * (1 - yz**2), 0, None))
        partial = np.where(left > 1e-9, np.clip((xy - xz * yz) / left, -1, 1), np.nan)
    return partial[0] if weights is None else partial


def interval(points: pd.DataFrame, outcome: str, alpha: float, draws: int = 2000) -> tuple[float, float]:
    """Return an interval of the partial rank correlation by resampling whole seeds with replacement.

    Percentiles; points of one seed stay together, since they share data and initial weights. Somewhat narrow at few seeds.

    Args:
        points: Columns seed, change, accuracy and the outcome's; no missing values.
        outcome: Name of the outcome's column.
        alpha: One minus the level.
        draws: Resamples; where nothing varies in half of them or more, there is no interval.

    """
    seed, seeds = pd.factorize(points["seed"])
    drawn = np.random.default_rng(0).multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), draws)
    x, y, z = (points[name].to_numpy(dtype=float) for name in ("change", outcome, "accuracy"))
    found = partial_rank_correlation(x, y, z, drawn[:, seed].astype(float))
    finite = found[np.isfinite(found)]
    if len(finite) < draws / 2:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def outcomes(rows: pd.DataFrame, recipe: Recipe, budgets: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """Return what unlearning cost from every place, as the mean over methods of the rank among all places and seeds.

    Args:
        rows: The rows of a study.
        recipe: Its first numeric target counts.
        budgets: Per method label, the dose at which paths end and the dose at which doses are matched.

    Returns:
        Columns seed, arm, stage, forget, accuracy (test accuracy before unlearning) and one per entry of ``OUTCOMES``: in
        [0, 1], larger is costlier, nan where no method has one.

    """
    target = next((t for t in recipe.claims.targets if not isinstance(t, str)), None)
    table = []
    for key, group in rows.groupby(LOR, sort=True):
        place = dict(zip(LOR, key, strict=True))
        track = Track(group.sort_values("dose", kind="stable"))
        start, end = track.start, track.at_dose(budgets[str(place["method"])][1])
        status = "undefined" if target is None else track.status(target)
        hit = track.at(target) if target is not None and status == "reached" else None
        needed = np.inf if status == "censored" else np.nan if hit is None else hit["dose"]
        fall = np.inf if end["diverged"] else start["TA"] - end["TA"]
        table.append(place | {"accuracy": start["TA"], "damage": fall, "updates": needed})
    frame = pd.DataFrame(table, columns=[*LOR, "accuracy", *OUTCOMES]).astype(dict.fromkeys(OUTCOMES, "float64"))
    for name in OUTCOMES:
        ranked = frame.groupby(["forget", "method"])[name].rank(pct=True)
        frame[name] = ranked.where(frame[name].notna())
    return frame.groupby(LOR[:-1], as_index=False, sort=True)[["accuracy", *OUTCOMES]].mean()


def changes(
    rows: pd.DataFrame, mechanism: pd.DataFrame, recipe: Recipe, budgets: dict[str, tuple[float, float]]
) -> pd.DataFrame:
    """Return how measures, test accuracy and costs differ from those at the first stage of the same seed's base arm.

    Returns:
        Columns seed, arm, stage, forget, analysis, measure, on, layer, change, accuracy and one per outcome; every
        place but the first stage of the base arm.

    """
    before = mechanism[(mechanism["method"] == "") & mechanism["value"].notna()]
    values = headline(before)[[*LOR[:-1], *MEASURE, "value"]].rename(columns={"value": "change"})
    whole = values.merge(outcomes(rows, recipe, budgets), on=LOR[:-1])
    first = (whole["arm"] == BASE) & (whole["stage"] == str(recipe.stages[0]))
    same, names = ["seed", "forget", *MEASURE], ["change", "accuracy", *OUTCOMES]
    joined = whole[~first].merge(whole[first], on=same, suffixes=("", "_first"))
    for name in names:
        joined[name] = joined[name] - joined[f"{name}_first"]
    kept: pd.DataFrame = joined[[*LOR[:-1], *MEASURE, *names]]
    return kept


def mediation(points: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Return, per forget split, measure and outcome, whether the measure's change predicts the cost's.

    Args:
        points: From :func:`changes`.
        alpha: One minus the level of the intervals, which are not adjusted for the number of measures.

    Returns:
        Columns forget, analysis, measure, on, layer, outcome, points, seeds, rank_correlation, partial (given test
        accuracy), low, high, arms_agree (share of arms without which ``partial`` keeps its sign; None for one arm) and
        ``predicts``: yes (the interval does not hold 0), no, or unknown (too few seeds, or nothing varies).

    """
    table = []
    for key, group in points.groupby(["forget", *MEASURE], sort=False):
        for outcome in OUTCOMES:
            known = group[["seed", "arm", "change", "accuracy", outcome]].dropna()
            row: dict[str, object] = dict(zip(["forget", *MEASURE], key, strict=True)) | {"outcome": outcome}
            table.append(row | _judged(known, outcome, alpha))
    return pd.DataFrame(table)


def pooled(studies: dict[str, pd.DataFrame], alpha: float) -> pd.DataFrame:
    """Return, per measure and outcome, whether it predicts the cost over several studies, and without each of them.

    Changes and test accuracies are ranked within a study and forget split, since their scales differ; the interval
    resamples seeds of studies.

    Args:
        studies: By name, points from :func:`changes`.
        alpha: One minus the level of the intervals.

    Returns:
        As :func:`mediation`, without forget, and with recipes (how many have the measure), recipes_agree (share of them
        without which ``partial`` keeps its sign) and without (the verdict without each, by recipe, None for under two).

    """
    ranked = ["change", "accuracy", *OUTCOMES]
    parts = []
    for name, points in studies.items():
        ranks = points.groupby(["forget", *MEASURE], sort=False)[ranked].rank(pct=True)
        keyed = points[MEASURE].assign(
            recipe=name, arm=name + "/" + points["arm"], seed=[f"{name}/{s}" for s in points["seed"]]
        )
        parts.append(keyed.join(ranks))
    table = []
    for key, group in pd.concat(parts).groupby(MEASURE, sort=False):
        for outcome in OUTCOMES:
            known = group[["recipe", "seed", "arm", "change", "accuracy", outcome]].dropna()
            row: dict[str, object] = dict(zip(MEASURE, key, strict=True)) | {"outcome": outcome}
            row |= _judged(known, outcome, alpha) | {"recipes": known["recipe"].nunique()}
            table.append(row | _without_each(known, outcome, alpha, row["partial"]))
    return pd.DataFrame(table)


def _without_each(known: pd.DataFrame, outcome: str, alpha: float, partial: object) -> dict[str, object]:
    names = list(known["recipe"].unique())
    if len(names) < 2:
        return {"recipes_agree": float("nan"), "without": None}
    left = {name: _judged(known[known["recipe"] != name], outcome, alpha) for name in names}
    same = [np.sign(float(str(one["partial"]))) == np.sign(float(str(partial))) for one in left.values()]
    return {"recipes_agree": float(np.mean(same)), "without": {name: one["predicts"] for name, one in left.items()}}


def _judged(known: pd.DataFrame, outcome: str, alpha: float) -> dict[str, object]:
    seeds = known["seed"].nunique()
    row: dict[str, object] = {"points": len(known), "seeds": seeds}
    if seeds < FEWEST:
        empty = dict.fromkeys(("rank_correlation", "partial", "low", "high", "arms_agree"), np.nan)
        return row | empty | {"predicts": "unknown"}
    x, y, z = (known[name].to_numpy(dtype=float) for name in ("change", outcome, "accuracy"))
    partial = float(partial_rank_correlation(x, y, z))
    low, high = interval(known, outcome, alpha)
    row |= {"rank_correlation": float(partial_rank_correlation(x, y)), "partial": partial, "low": low, "high": high}
    verdict = "unknown" if not np.isfinite([partial, low, high]).all() else "yes" if low > 0 or high < 0 else "no"
    return row | {"arms_agree": _agree(known, outcome, np.sign(partial)), "predicts": verdict}


def _agree(known: pd.DataFrame, outcome: str, sign: float) -> float:
    arms: Sequence[str] = list(known["arm"].unique())
    if len(arms) < 2:
        return float("nan")
    kept = [known[known["arm"] != arm] for arm in arms]
    without = [
        partial_rank_correlation(*(k[n].to_numpy(dtype=float) for n in ("change", outcome, "accuracy"))) for k in kept
    ]
    return float(np.mean([np.sign(value) == sign for value in without]))
