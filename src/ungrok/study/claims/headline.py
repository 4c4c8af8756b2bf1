"""The headline family: the rows, fixed beforehand, in which alone words are given."""

from __future__ import annotations

from typing import get_args

from ungrok.core.errors import RecipeError, shown
from ungrok.methods import Unlearner
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import Headline, HeadlineMetric

METRICS: tuple[HeadlineMetric, ...] = get_args(HeadlineMetric)
"""What is judged per method and forget split, the most telling first."""

MOST = 60
"""Rows that a family has at most: with more, ten seeds find nothing but large effects."""


def resolved(recipe: Recipe) -> Headline | None:
    """Return the headline family of a recipe with nothing left open; None where nothing is compared.

    By default it is the first comparison at the first target that is a number, with as many metrics as give at most
    :data:`MOST` rows.

    Raises:
        RecipeError: If the metrics that the recipe names give more.

    """
    claims = recipe.claims
    if not claims.compare:
        return None
    own = claims.headline
    compare = own.compare or claims.compare[0]
    numbers = [target for target in claims.targets if not isinstance(target, str)]
    target = (numbers or claims.targets)[0] if own.target is None else own.target
    metrics = METRICS if own.metrics is None else tuple(own.metrics)
    asked = Headline(compare=compare, target=target, metrics=list(metrics))
    if own.metrics is not None and rows_of(recipe, asked) > MOST:
        raise RecipeError(
            f"claims.headline.metrics: {shown(own.metrics)} give {rows_of(recipe, asked)} rows; at most {MOST} are judged together"
        )
    while rows_of(recipe, asked) > MOST and len(metrics) > 1:
        metrics = metrics[:-1]
        asked = asked.model_copy(update={"metrics": list(metrics)})
    return asked


def rows_of(recipe: Recipe, headline: Headline) -> int:
    """Return how many rows a resolved family has at most."""
    assert headline.compare is not None
    assert headline.metrics is not None
    splits = 1 if any(side.forget for side in headline.compare) else len(recipe.forget)
    searched = recipe.searched()
    return splits * sum(
        metric in judged(method, searched=method.label in searched)
        for method in recipe.unlearn
        for metric in headline.metrics
    )


def judged(method: Unlearner, *, searched: bool) -> tuple[HeadlineMetric, ...]:
    """Return the metrics by which a method can be judged.

    Args:
        method: The method.
        searched: Whether its learning rate was searched.

    """
    if method.from_scratch:
        return ()
    without = {"same_rate", "own_rate"} if method.self_stopping else set() if searched else {"own_rate"}
    return tuple(metric for metric in METRICS if metric not in without)
