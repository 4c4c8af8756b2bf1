"""Does a measure of mechanism predict the cost of unlearning beyond test accuracy?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pandas as pd

from ungrok.analyze import Analysis
from ungrok.study.claims import Doses
from ungrok.study.correlation import (
    orders,
    partial_rank_correlation,
    permutation_p,
    permuted,
    pseudo_values,
    simultaneous,
    smallest_p,
)
from ungrok.study.inference import FEWEST
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE
from ungrok.study.track import PATH, PLACE, tracks
from ungrok.study.units import unit_rows

OUTCOMES = {
    "damage": "test accuracy of the oracle less that at the matched dose (without an oracle, its fall since the start), a diverged model being the most",
    "updates": "dose at which the first numeric target is reached, never being the most",
}

MEASURE = ["analysis", "measure", "on", "layer"]

RANKED = ["change", "accuracy", *OUTCOMES]

CHANGES = [*PLACE, *MEASURE, *RANKED]
"""Columns of :func:`changes`."""


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
        after = -np.inf if end["diverged"] else end["TA"]
        table.append([seed, *astuple(place), start["TA"], end.get("oracle_TA"), after, needed])
    frame = pd.DataFrame(table, columns=[*PATH, "accuracy", "oracle", "after", "updates"])
    numbers = frame.columns.difference(PATH)
    frame[numbers] = frame[numbers].astype("float64")
    # The same for all paths of a forget split, since their ranks are compared.
    everywhere = frame["oracle"].notna().groupby(frame["forget"]).transform("all")
    frame["damage"] = frame["oracle"].where(everywhere, frame["accuracy"]) - frame["after"]
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

    Where seeds are swapped in pairs these are means over pairs; see :func:`ungrok.study.units.unit_rows`.

    Returns:
        Columns seed, arm, stage, forget, analysis, measure, on, layer, change, accuracy and one per outcome; every
        place but the first stage of the base arm.

    """
    before = mechanism[(mechanism["method"] == "") & mechanism["value"].notna()]
    values = headline(before, recipe.analyze)[[*PLACE, *MEASURE, "value"]].rename(columns={"value": "change"})
    values = pd.concat([values, losses(rows, values)], ignore_index=True)
    whole = values.merge(outcomes(rows, recipe, doses), on=PLACE)
    first = (whole["arm"] == BASE) & (whole["stage"] == str(recipe.stages[0]))
    same = ["seed", "forget", *MEASURE]
    joined = whole[~first].merge(whole[first], on=same, suffixes=("", "_first"))
    for name in RANKED:
        joined[name] = joined[name] - joined[f"{name}_first"]
    return unit_rows(recipe, joined[CHANGES], [*PLACE[1:], *MEASURE])


def mediation(points: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Return, per forget split, measure and outcome, whether the measure's change predicts the cost's.

    Args:
        points: From :func:`changes`.
        alpha: One minus the level of the intervals, which hold together, and of the permutations, which do too.

    Returns:
        Columns forget, analysis, measure, on, layer, outcome, points, seeds, rank_correlation, partial (given test
        accuracy), low, high (:func:`ungrok.study.correlation.simultaneous`), arms_agree (share of arms without which ``partial`` keeps its sign; None for one
        arm), within_seeds (the same correlation over places within seeds), permutation_p (its p when arms and stages are permuted, see
        :func:`ungrok.study.correlation.permuted`), smallest_p (the smallest p that so few places can give) and ``answer``:
        yes (the interval does not hold 0, and the permutation's p is below alpha, with the same sign), associated (the interval alone: over these arms and stages, which are no sample), no, or unknown (too few
        seeds, or nothing varies).

    """
    return _judged(_kept(points), ["forget", *MEASURE], alpha)


def pooled(studies: dict[str, pd.DataFrame], alpha: float) -> pd.DataFrame:
    """Return, per measure and outcome, whether it predicts the cost over several studies, and without each of them.

    Changes and test accuracies are ranked within a study and forget split, since their scales differ. For the intervals one seed
    of one study is left out at a time; places are exchanged within studies.

    Args:
        studies: By name, points from :func:`changes`.
        alpha: One minus the level of the intervals.

    Returns:
        As :func:`mediation`, without forget, and with recipes (how many have the measure), recipes_agree (share of them
        without which ``partial`` keeps its sign) and without (the verdict without each, by recipe, None for under two).

    """
    parts = []
    for name, points in studies.items():
        ranks = points.groupby(["forget", *MEASURE], sort=False)[RANKED].rank(pct=True)
        keyed = points[[*MEASURE, "stage", "forget"]].assign(
            recipe=name,
            arm=name + "/" + points["arm"],
            seed=[f"{name}/{s}" for s in points["seed"]],
        )
        parts.append(keyed.join(ranks).join(_kept(points)[[f"{name}_raw" for name in RANKED]]))
    points = pd.concat(parts)
    answers = _judged(points, MEASURE, alpha)
    if len(studies) < 2:
        return answers.assign(recipes_agree=np.nan, without=None)
    same, several = [*MEASURE, "outcome"], answers["recipes"].to_numpy() > 1
    left = {name: _judged(points[points["recipe"] != name], MEASURE, alpha) for name in studies}
    left = {name: answers[same].merge(others, how="left", on=same) for name, others in left.items()}
    signs = np.mean([np.sign(others["partial"]) == np.sign(answers["partial"]) for others in left.values()], axis=0)
    words = pd.DataFrame({name: others["answer"] for name, others in left.items()}).to_dict("records")
    answers["recipes_agree"] = np.where(several, signs, np.nan)
    without = [word if many else None for word, many in zip(words, several, strict=True)]
    answers["without"] = pd.Series(without, dtype=object)
    return answers


def _judged(points: pd.DataFrame, keys: list[str], alpha: float) -> pd.DataFrame:
    """Return a row per group of points and outcome, with intervals that hold together, and p-values that do."""
    seeds, blocks, points = sorted(points["seed"].unique()), *_placed(points)
    ordered = orders(blocks)
    table, pseudo, moved = [], [], []
    for key, group in points.groupby(keys, sort=False):
        for outcome in OUTCOMES:
            known = group.dropna(subset=["change", "accuracy", outcome])
            table.append(dict(zip(keys, key, strict=True)) | {"outcome": outcome} | _estimated(known, outcome))
            table[-1]["smallest_p"] = smallest_p([blocks[place] for place in np.unique(known[["place", "first"]])])
            enough = np.isfinite(table[-1]["partial"])
            pseudo.append(pseudo_values(known, outcome, seeds) if enough else np.full(len(seeds), np.nan))
            moved.append(permuted(_raw(known), outcome, ordered) if enough else np.full(len(ordered), np.nan))
    answers = pd.DataFrame(table)
    if answers.empty:
        return answers
    answers[["low", "high"]] = simultaneous(np.stack(pseudo), alpha)
    correlations = np.stack(moved)
    answers["within_seeds"], answers["permutation_p"] = correlations[:, 0], permutation_p(correlations)
    away = (answers["low"] > 0) | (answers["high"] < 0)
    agrees = (answers["permutation_p"] < alpha) & (answers["within_seeds"] * answers["partial"] > 0)
    words = np.where(away, np.where(agrees, "yes", "associated"), "no")
    answers["answer"] = np.where(answers["low"].isna(), "unknown", words)
    return answers


def _placed(points: pd.DataFrame) -> tuple[list[str], pd.DataFrame]:
    """Return the study of every arm and stage, the first of each from which changes are included, and points with the numbers of theirs.

    What stays together when places are exchanged is a group: the forget splits of one model do, since before unlearning it is the
    same model.
    """
    study = points["recipe"] if "recipe" in points else pd.Series("", index=points.index)
    here, first = list(zip(study, points["arm"], points["stage"], strict=True)), [(name, "", "") for name in study]
    number = {name: i for i, name in enumerate(sorted({*here, *first}))}
    placed = points.assign(
        place=[number[name] for name in here],
        first=[number[name] for name in first],
        group=[f"{seed} {forget}" for seed, forget in zip(points["seed"], points["forget"], strict=True)],
    )
    return [name for name, *_ in number], placed


def _kept(points: pd.DataFrame) -> pd.DataFrame:
    """Return points with a copy of what may be ranked."""
    return points.assign(**{f"{name}_raw": points[name] for name in RANKED})


def _raw(known: pd.DataFrame) -> pd.DataFrame:
    """Return points with changes as they were before any were ranked, so that a change of 0 is that of the first place."""
    return known.assign(**{name: known[f"{name}_raw"] for name in RANKED})


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
