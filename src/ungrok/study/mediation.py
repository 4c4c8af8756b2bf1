"""Does a measure of mechanism predict the cost of unlearning beyond test accuracy?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from ungrok.analyze import Analysis
from ungrok.study.claims import Doses
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE
from ungrok.study.track import PATH, PLACE, tracks

Floats = NDArray[np.float64]

OUTCOMES = {
    "damage": "fall of test accuracy at the matched dose, a diverged model being the most",
    "updates": "dose at which the first numeric target is reached, never being the most",
}

MEASURE = ["analysis", "measure", "on", "layer"]

EDGE = 1 - 1e-6
"""Correlations are clipped to this size, whose artanh is 7.25: that of 1 is infinite."""

FEWEST = 6
"""With fewer seeds a sign-flip test cannot reach p < 0.05."""


def headline(mechanism: pd.DataFrame, analyses: Sequence[Analysis]) -> pd.DataFrame:
    """Return the measured values of whole models and penultimate layers, without error bounds and diagnostics.

    Args:
        mechanism: The table of measures of a study.
        analyses: Those of its recipe, which say which of their readings only stand beside a measure.

    """
    main = mechanism["layer"].isin(["model", "penultimate"]) & (mechanism["null"] == "")
    for analysis in analyses:
        main &= (mechanism["analysis"] != analysis.label) | ~mechanism["measure"].isin(analysis.beside())
    return mechanism[main]


def partial_rank_correlation(x: Floats, y: Floats, z: Floats | None = None, weights: Floats | None = None) -> Floats:
    """Return Spearman's correlation of x and y, given z: the correlation of their ranks without what the ranks of z explain of them.

    ``(r_xy − r_xz·r_yz) / √((1 − r_xz²)(1 − r_yz²))`` with r of ranks, ties averaged.

    Args:
        x: Shape (n,).
        y: Shape (n,).
        z: Shape (n,), or None.
        weights: Shape (draws, n): how often each point counts; ranks are those of all points. Each counts once when None.

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


def pseudo_values(points: pd.DataFrame, outcome: str, seeds: Sequence[object]) -> Floats:
    """Return the jackknife pseudo-values of the partial rank correlation given accuracy, on Fisher's scale, by seed.

    ``n·z − (n − 1)·z₋ₛ``, where z = artanh r is of all points and z₋ₛ of all but those of seed s. The points of a seed are left
    out together, since they share data and initial weights (Tukey 1958).

    Args:
        points: Columns seed, change, accuracy and the outcome's; no missing values.
        outcome: Name of the outcome's column.
        seeds: All seeds, also those that have points of other measures only.

    Returns:
        Shape (seeds,); nan for a seed without points, and everywhere where nothing varies.

    """
    x, y, z = (points[name].to_numpy(dtype=float) for name in ("change", outcome, "accuracy"))
    there = points["seed"].to_numpy()[None] == np.array(seeds)[:, None]
    everything, *without = fisher(partial_rank_correlation(x, y, z, np.vstack([np.ones(len(x)), ~there])))
    n = int(there.any(axis=1).sum())
    return np.where(there.any(axis=1), n * everything - (n - 1) * np.array(without), np.nan)


def fisher(correlation: Floats) -> Floats:
    """Return artanh r, with r clipped to ±:data:`EDGE`."""
    return np.asarray(np.arctanh(np.clip(correlation, -EDGE, EDGE)))


def simultaneous(pseudo: Floats, alpha: float, flips: int = 4096) -> Floats:
    """Return intervals of correlations that hold together: the chance that any of them misses is alpha.

    ``tanh(m ± c·s/√n)`` with m and s the mean and standard deviation of a row's pseudo-values over seeds, and c the 1 − alpha quantile
    of the largest ``|t|`` of all rows when the signs of whole seeds are flipped, the same seeds in every row (max-t: Westfall & Young
    1993). The level is exact for pseudo-values that are symmetric about 0. Unlike Bonferroni's and Holm's, this correction is
    smaller for rows that vary together than for independent ones.

    Args:
        pseudo: Shape (rows, seeds); nan where a row has no points of a seed.
        alpha: One minus the joint level.
        flips: Where there are more ways to flip than this, so many are drawn at random.

    Returns:
        Lower and upper ends, shape (rows, 2); nan for a row without values.

    """
    here = np.isfinite(pseudo)
    n = here.sum(axis=1)
    ends, known = np.full((len(pseudo), 2), np.nan), n >= 2
    if not known.any():
        return ends
    values, n = np.where(here, pseudo, 0.0)[known], n[known]
    seeds = pseudo.shape[1]
    if 2**seeds <= flips:
        signs = 1.0 - 2.0 * ((np.arange(2**seeds)[:, None] >> np.arange(seeds)) & 1)
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (flips, seeds))
        signs[0] = 1.0  # the data themselves

    def scale(mean: Floats) -> Floats:
        spread = (values**2).sum(axis=1) - n * mean**2
        return np.asarray(np.sqrt(np.maximum(spread, 1e-24) / (n - 1) / n))

    flipped = signs @ values.T / n
    reach = np.quantile((np.abs(flipped) / scale(flipped)).max(axis=1), 1 - alpha, method="higher")
    middle = values.sum(axis=1) / n
    ends[known] = np.tanh(np.stack([middle - reach * scale(middle), middle + reach * scale(middle)], axis=1))
    return ends


def outcomes(rows: pd.DataFrame, recipe: Recipe, doses: Mapping[str, Doses]) -> pd.DataFrame:
    """Return what unlearning from every place cost: its rank among all places and seeds, averaged over methods.

    Args:
        rows: The rows of a study.
        recipe: Its first numeric target counts.
        doses: Per method label, where paths end and where doses are matched.

    Returns:
        Columns seed, arm, stage, forget, accuracy (test accuracy before unlearning) and one per entry of ``OUTCOMES``: in
        [0, 1], larger is costlier, nan where no method has one.

    """
    target = next((t for t in recipe.claims.targets if not isinstance(t, str)), None)
    table = []
    for seed, place, track in tracks(rows):
        start, end = track.start, track.at_dose(doses[place.method].matched)
        status = "undefined" if target is None else track.status(target)
        hit = track.at(target) if target is not None and status == "reached" else None
        needed = np.inf if status == "censored" else np.nan if hit is None else hit["dose"]
        fall = np.inf if end["diverged"] else start["TA"] - end["TA"]
        table.append([seed, *astuple(place), start["TA"], fall, needed])
    frame = pd.DataFrame(table, columns=[*PATH, "accuracy", *OUTCOMES]).astype(dict.fromkeys(OUTCOMES, "float64"))
    for name in OUTCOMES:
        ranked = frame.groupby(["forget", "method"])[name].rank(pct=True)
        frame[name] = ranked.where(frame[name].notna())
    return frame.groupby(PLACE, as_index=False, sort=True)[["accuracy", *OUTCOMES]].mean()


def losses(rows: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Return the losses on forget and retain data before unlearning, as a measure with which the others are compared.

    Args:
        rows: The rows of a study.
        values: Where something was measured: columns seed, arm, stage and forget.

    Returns:
        The columns of a measure, with ``change`` for its value; empty where the rows have no losses.

    """
    start = rows[rows["dose"] == 0].drop_duplicates(PLACE).merge(values[PLACE].drop_duplicates(), on=PLACE)
    parts = [
        start[PLACE].assign(
            analysis="loss", measure="loss", on=on, layer="model", change=start[f"{on}_loss"].astype(float)
        )
        for on in ("forget", "retain")
        if f"{on}_loss" in start
    ]
    return pd.concat(parts).dropna(subset="change") if parts else values.iloc[:0]


def changes(rows: pd.DataFrame, mechanism: pd.DataFrame, recipe: Recipe, doses: Mapping[str, Doses]) -> pd.DataFrame:
    """Return how far measures, test accuracy and costs are from those of the same seed at the first stage of the base arm.

    Returns:
        Columns seed, arm, stage, forget, analysis, measure, on, layer, change, accuracy and one per outcome; every
        place but the first stage of the base arm.

    """
    before = mechanism[(mechanism["method"] == "") & mechanism["value"].notna()]
    values = headline(before, recipe.analyze)[[*PLACE, *MEASURE, "value"]].rename(columns={"value": "change"})
    values = pd.concat([values, losses(rows, values)], ignore_index=True)
    whole = values.merge(outcomes(rows, recipe, doses), on=PLACE)
    first = (whole["arm"] == BASE) & (whole["stage"] == str(recipe.stages[0]))
    same, names = ["seed", "forget", *MEASURE], ["change", "accuracy", *OUTCOMES]
    joined = whole[~first].merge(whole[first], on=same, suffixes=("", "_first"))
    for name in names:
        joined[name] = joined[name] - joined[f"{name}_first"]
    kept: pd.DataFrame = joined[[*PLACE, *MEASURE, *names]]
    return kept


def mediation(points: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Return, per forget split, measure and outcome, whether the measure's change predicts the cost's.

    Args:
        points: From :func:`changes`.
        alpha: One minus the level of the intervals, which hold together: see :func:`simultaneous`.

    Returns:
        Columns forget, analysis, measure, on, layer, outcome, points, seeds, rank_correlation, partial (given test
        accuracy), low, high, arms_agree (share of arms without which ``partial`` keeps its sign; None for one arm) and
        ``predicts``: yes (the interval does not hold 0), no, or unknown (too few seeds, or nothing varies).

    """
    return _judged(points, ["forget", *MEASURE], alpha)


def pooled(studies: dict[str, pd.DataFrame], alpha: float) -> pd.DataFrame:
    """Return, per measure and outcome, whether it predicts the cost over several studies, and without each of them.

    Changes and test accuracies are ranked within a study and forget split, since their scales differ. For the intervals one seed
    of one study is left out at a time.

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
    points = pd.concat(parts)
    answers = _judged(points, MEASURE, alpha)
    if len(studies) < 2:
        return answers.assign(recipes_agree=np.nan, without=None)
    same, several = [*MEASURE, "outcome"], answers["recipes"].to_numpy() > 1
    left = {name: _judged(points[points["recipe"] != name], MEASURE, alpha) for name in studies}
    left = {name: answers[same].merge(others, how="left", on=same) for name, others in left.items()}
    signs = np.mean([np.sign(others["partial"]) == np.sign(answers["partial"]) for others in left.values()], axis=0)
    words = pd.DataFrame({name: others["predicts"] for name, others in left.items()}).to_dict("records")
    answers["recipes_agree"] = np.where(several, signs, np.nan)
    without = [word if many else None for word, many in zip(words, several, strict=True)]
    answers["without"] = pd.Series(without, dtype=object)
    return answers


def _judged(points: pd.DataFrame, keys: list[str], alpha: float) -> pd.DataFrame:
    """Return a row per group of points and outcome, with intervals that hold together."""
    seeds = sorted(points["seed"].unique())
    table, pseudo = [], []
    for key, group in points.groupby(keys, sort=False):
        for outcome in OUTCOMES:
            known = group.dropna(subset=["change", "accuracy", outcome])
            table.append(dict(zip(keys, key, strict=True)) | {"outcome": outcome} | _estimated(known, outcome))
            enough = np.isfinite(table[-1]["partial"])
            pseudo.append(pseudo_values(known, outcome, seeds) if enough else np.full(len(seeds), np.nan))
    answers = pd.DataFrame(table)
    if answers.empty:
        return answers
    answers[["low", "high"]] = simultaneous(np.stack(pseudo), alpha)
    away = (answers["low"] > 0) | (answers["high"] < 0)
    answers["predicts"] = np.where(answers["low"].isna(), "unknown", np.where(away, "yes", "no"))
    return answers


def _estimated(known: pd.DataFrame, outcome: str) -> dict[str, Any]:
    seeds, arms = known["seed"].nunique(), list(known["arm"].unique())
    row = {"points": len(known), "seeds": seeds} | ({"recipes": known["recipe"].nunique()} if "recipe" in known else {})
    if seeds < FEWEST:
        return row | dict.fromkeys(("rank_correlation", "partial", "arms_agree"), float("nan"))
    partial, raw = _correlation(known, outcome), _correlation(known.assign(accuracy=0.0), outcome)
    without = [np.sign(_correlation(known[known["arm"] != arm], outcome)) == np.sign(partial) for arm in arms]
    agree = float(np.mean(without)) if len(arms) > 1 else float("nan")
    return row | {"rank_correlation": raw, "partial": partial, "arms_agree": agree}


def _correlation(known: pd.DataFrame, outcome: str) -> float:
    x, y, z = (known[name].to_numpy(dtype=float) for name in ("change", outcome, "accuracy"))
    return float(partial_rank_correlation(x, y, z))
