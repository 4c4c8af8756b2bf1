"""The headline family: the rows, fixed beforehand, in which alone words are given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

from ungrok.core.errors import RecipeError, shown
from ungrok.methods import Unlearner
from ungrok.study.claims.verdicts import Target
from ungrok.study.place import Comparison, comparisons
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import Headline, HeadlineMetric
from ungrok.study.recipe_stress import Lasting, Stress, where_label

METRICS: tuple[HeadlineMetric, ...] = get_args(HeadlineMetric)
"""What is judged per method and forget split, the most telling first."""

LANGUAGE = "a language model"

NEEDS: dict[HeadlineMetric, str] = {
    "lasting": "lasting",
    "price": "lasting",
    "durability": "stress",
    "beyond_oracle": "trajectory.exposure",
    "extraction_forget": LANGUAGE,
    "extraction_retain": LANGUAGE,
}
"""Metrics that a recipe has only with a block of its own, and the block, or with a language model."""

NAMED: tuple[HeadlineMetric, ...] = ("extraction_forget", "extraction_retain")
"""Metrics that are judged only where a recipe names them."""

BESIDE_ORACLE: tuple[HeadlineMetric, ...] = ("damage", "oracle_gap")
"""Metrics that are read beside the oracle, which every recipe has that trains its models itself."""

ROWS: dict[HeadlineMetric, int] = {"durability": 2}
"""Rows of a metric per method and forget split, where they are not one."""

IDENTICAL: tuple[HeadlineMetric, ...] = ("same_rate", "lasting", "price", "durability")
"""Metrics that are read at the recipe's own rate where another is searched; ``lasting`` and ``price`` unless all rates are repaired."""

MOST = 60
"""Rows that a family has at most: with more, ten seeds find nothing but large effects."""


def resolved(recipe: Recipe) -> Headline | None:
    """Return the headline family of a recipe with nothing left open; None where nothing is compared.

    By default it is the first comparison at the first target that is a number, with as many metrics, but those of :data:`NAMED`, as
    give at most :data:`MOST` rows.

    Raises:
        RecipeError: If the metrics that the recipe names give more, or if one needs a block that the recipe lacks.

    """
    claims = recipe.claims
    if not claims.compare:
        return None
    own = claims.headline
    compare = own.compare or claims.compare[0]
    target = claims.main_target
    offered = tuple(
        metric for metric in METRICS if any(_asked(recipe, metric, each, target) for each in recipe.unlearn)
    )
    default = tuple(metric for metric in offered if metric not in NAMED)
    metrics = default if own.metrics is None else tuple(own.metrics)
    lacking = next((metric for metric in metrics if metric not in offered), None)
    if lacking is not None:
        raise RecipeError(f"claims.headline.metrics: {lacking} needs {_lacking(recipe, lacking, target)}")
    asked = Headline(compare=compare, also=own.also, target=target, forget=own.forget, metrics=list(metrics))
    if own.metrics is not None and rows_of(recipe, asked) > MOST:
        raise RecipeError(
            f"claims.headline.metrics: {shown(own.metrics)} give {rows_of(recipe, asked)} rows; at most {MOST} are judged together"
        )
    while rows_of(recipe, asked) > MOST and len(metrics) > 1:
        metrics = metrics[:-1]
        asked = asked.model_copy(update={"metrics": list(metrics)})
    return asked


def covers(headline: Headline, forget: str) -> bool:
    """Return whether a forget split, by its label, is one of those that a family judges."""
    return headline.forget is None or forget in headline.forget


def judges(headline: Headline, comparison: Comparison) -> bool:
    """Return whether a comparison is one of those that a family judges."""
    return comparison.sides in headline.pairs and covers(headline, comparison.left_forget)


def rows_of(recipe: Recipe, headline: Headline) -> int:
    """Return how many rows a resolved family has at most."""
    return sum(count for _, _, count in _rows(recipe, headline))


def last_rows_of(recipe: Recipe, headline: Headline) -> int:
    """Return how many of these are tested after the others: of methods whose rate is searched, those at identical settings."""
    searched = recipe.searched()

    def last(method: str, metric: HeadlineMetric) -> bool:
        own = "all" if metric in ("lasting", "price") and not isinstance(headline.target, str) else None
        return method in searched and metric in IDENTICAL and rates_repaired(recipe, method) != own

    return sum(count for method, metric, count in _rows(recipe, headline) if last(method, metric))


def _rows(recipe: Recipe, headline: Headline) -> Iterator[tuple[str, HeadlineMetric, int]]:
    """Yield the label of every method with each metric by which it is judged, and how many rows that gives."""
    splits = sum(judges(headline, one) for one in comparisons(recipe))
    searched = recipe.searched()
    for method in recipe.unlearn:
        possible = judged(method, searched=method.label in searched)
        for metric in headline.metrics or []:
            if metric in possible and _asked(recipe, metric, method, headline.target):
                yield method.label, metric, splits * ROWS.get(metric, 1)


def _block(recipe: Recipe, name: str) -> Stress | Lasting | None:
    return {"stress": recipe.stress, "lasting": recipe.lasting}[name]


def asked_of(recipe: Recipe, block: str, method: str) -> bool:
    """Return whether a recipe has a block, ``stress`` or ``lasting``, and asks it of a method."""
    own = _block(recipe, block)
    return own is not None and (own.methods is None or method in own.methods)


def rates_repaired(recipe: Recipe, method: str) -> Literal["", "nominal", "all"]:
    """Return at which of its rates a recipe asks when a method's forgetting lasts; empty where it does not ask."""
    return recipe.lasting.rates if recipe.lasting and asked_of(recipe, "lasting", method) else ""


def _asked(recipe: Recipe, metric: HeadlineMetric, method: Unlearner, target: Target | None) -> bool:
    """Return whether a recipe asks what a metric needs of a method, and for attacks, where the family reads it."""
    if metric in BESIDE_ORACLE and recipe.given and not any(run.oracle for run in recipe.given):
        return False
    if metric not in NEEDS:
        return True
    if metric == "beyond_oracle":
        return recipe.trajectory.exposure is not None
    if NEEDS[metric] == LANGUAGE:
        return recipe.problem.family == "language"
    if not asked_of(recipe, NEEDS[metric], method.label):
        return False
    place = "end" if method.self_stopping else target
    return recipe.stress is None or NEEDS[metric] != "stress" or place in recipe.stress.at(recipe.claims)


def _lacking(recipe: Recipe, metric: HeadlineMetric, target: Target) -> str:
    """Return what a recipe lacks for a metric."""
    if metric in BESIDE_ORACLE:
        return "an oracle, and none was given"
    if NEEDS[metric] == LANGUAGE:
        return f"{LANGUAGE}, which problem {recipe.problem.kind!r} has not"
    if metric == "beyond_oracle" or _block(recipe, NEEDS[metric]) is None:
        return f"the block {NEEDS[metric]}, which this recipe lacks"
    return f"an attack at {where_label(target)}; add it to {NEEDS[metric]}.places"


def judged(method: Unlearner, *, searched: bool) -> tuple[HeadlineMetric, ...]:
    """Return the metrics by which a method can be judged.

    Args:
        method: The method.
        searched: Whether its learning rate was searched.

    """
    if method.from_scratch:
        return ()
    without = (
        {"same_rate", "own_rate", "lasting", "price"} if method.self_stopping else set() if searched else {"own_rate"}
    )
    return tuple(metric for metric in METRICS if metric not in without)
