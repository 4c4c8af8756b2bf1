"""The metrics of TOFU (Maini et al. 2024, arXiv 2401.06121), from per-example logs in the form of its public code.

Logs map a file name of :data:`FILES` to columns, each a mapping from an example's number to its value: ``avg_gt_loss`` and
``avg_paraphrased_loss`` (nats per token), ``average_perturb_loss`` (a list, one per wrong answer), ``rougeL_recall`` and ``rouge1_recall``.
Source: locuslab/tofu, ``utils.py`` (``get_model_utility``, ``get_forget_quality``) and ``evaluate_util.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ungrok.core.errors import RecipeError

Floats = NDArray[np.float64]
Logs = Mapping[str, Mapping[str, Mapping[str, Any]]]
Mean = Literal["geometric", "arithmetic"]
"""The mean over wrong answers in the truth ratio: geometric in the public code, arithmetic in the paper."""

FILES = {
    "retain": "eval_log.json",
    "forget": "eval_log_forget.json",
    "real_authors": "eval_real_author_wo_options.json",
    "world_facts": "eval_real_world_wo_options.json",
}
"""The file that the public code writes for each set of questions."""

UTILITY = ("retain", "real_authors", "world_facts")


class ForgetQuality(NamedTuple):
    """Outcome of the two-sample Kolmogorov-Smirnov test between truth ratios on the forget set.

    Args:
        p_value: Large: cannot be told from a model that never saw the forget set.
        statistic: Largest distance of the two distribution functions, in [0, 1].

    """

    p_value: float
    statistic: float


COLUMNS = ("avg_gt_loss", "avg_paraphrased_loss", "average_perturb_loss", "rougeL_recall", "rouge1_recall")


def column(logs: Logs, name: str, key: str) -> Floats:
    """Return a column of the logs of one set, one row per example, in the same order for all columns of a set.

    Raises:
        RecipeError: If the set or the column is not there, its examples are not those of the other columns, or its values are
            not numbers, as many for each example.

    """
    if FILES[name] not in logs:
        raise RecipeError(f"logs: no {FILES[name]!r}; there: {', '.join(logs) or 'nothing'}")
    table = logs[FILES[name]]
    if key not in table:
        raise RecipeError(f"logs: {FILES[name]} has no {key!r}; there: {', '.join(table)}")
    first = next(known for known in COLUMNS if known in table)
    if odd := sorted(map(str, table[key].keys() ^ table[first].keys())):
        raise RecipeError(
            f"logs: {FILES[name]}: {key!r} and {first!r} differ in {len(odd)} examples, such as {odd[0]!r}"
        )
    try:
        values = np.array([table[key][example] for example in table[first]], dtype=np.float64)
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if np.isnan(values).any():
        raise RecipeError(f"logs: {FILES[name]}: {key!r} does not hold numbers, as many for each example")
    return values


def truth_ratio(paraphrased: Floats, perturbed: Floats, mean: Mean) -> Floats:
    """Return how likely wrong answers are beside the true one, per question; 1 cannot tell them apart, 0 is certain of the truth.

    ``R = mean of exp(−perturbed loss) / exp(−paraphrased loss)``. The paper's formula has the arithmetic mean over wrong
    answers; the public code takes the geometric one, in model utility and forget quality alike.

    Args:
        paraphrased: Loss per token of the true answer in other words, shape (n,).
        perturbed: Losses per token of the wrong answers, shape (n, k).
        mean: Which mean over wrong answers.

    """
    wrong = -perturbed.mean(axis=1) if mean == "geometric" else np.log(np.exp(-perturbed).mean(axis=1))
    ratio: Floats = np.exp(wrong + paraphrased)
    return ratio


def probability(losses: Floats, perturbed: Floats | None = None) -> Floats:
    """Return the probability of each answer per token, ``exp(−loss)``; with wrong answers, its share of the sum over all."""
    p: Floats = np.exp(-losses)
    return p if perturbed is None else p / (p + np.exp(-perturbed).sum(axis=1))


def utility_parts(logs: Logs, mean: Mean = "geometric") -> dict[str, float]:
    """Return the nine numbers behind model utility, each in [0, 1], named like ``retain ROUGE``.

    ROUGE is the mean ROUGE-L recall; probability that of the answer (its share among the options for real authors and world
    facts); truth ratio the mean of ``max(0, 1 − R)``.
    """
    parts = {}
    for name in UTILITY:
        loss, wrong = column(logs, name, "avg_gt_loss"), column(logs, name, "average_perturb_loss")
        ratio = truth_ratio(column(logs, name, "avg_paraphrased_loss"), wrong, mean)
        parts[f"{name} ROUGE"] = float(column(logs, name, "rougeL_recall").mean())
        parts[f"{name} probability"] = float(probability(loss, None if name == "retain" else wrong).mean())
        parts[f"{name} truth ratio"] = float(np.maximum(0, 1 - ratio).mean())
    return parts


def model_utility(logs: Logs, mean: Mean = "geometric") -> float:
    """Return the harmonic mean of the nine :func:`utility_parts`, in [0, 1]; larger is more useful.

    A model that is broken on any of the three sets gets 0. ``mean`` is that of the truth ratio.
    """
    from scipy import stats

    return float(stats.hmean(list(utility_parts(logs, mean).values())))


def forget_ratios(logs: Logs) -> Floats:
    """Return the geometric truth ratios on the forget set."""
    return truth_ratio(
        column(logs, "forget", "avg_paraphrased_loss"), column(logs, "forget", "average_perturb_loss"), "geometric"
    )


def nearness_to_one(ratios: Floats) -> float:
    """Return the mean of ``min(R, 1/R)``, in [0, 1]: 1 where wrong answers are as likely as the true one.

    So locuslab/open-unlearning sums up truth ratios on the forget set (``closer_to_1_better``).
    """
    with np.errstate(divide="ignore"):
        return float(np.minimum(ratios, 1 / ratios).mean())


def forget_quality(logs: Logs, retain_logs: Logs) -> ForgetQuality:
    """Compare truth ratios on the forget set with those of a model trained without it.

    Args:
        logs: Of the unlearned model.
        retain_logs: Of the retain model (the oracle), on the same forget set.

    Returns:
        p-value and statistic of the two-sided Kolmogorov-Smirnov test.

    """
    from scipy import stats

    test = stats.ks_2samp(forget_ratios(logs), forget_ratios(retain_logs))
    return ForgetQuality(float(test.pvalue), float(test.statistic))
