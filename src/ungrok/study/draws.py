"""What a recipe draws more than once: the data for each seed, forget splits within a seed, unlearning paths within a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ungrok.core.errors import shown
from ungrok.study.recipe_blocks import BASE
from ungrok.study.recipe_given import given_of
from ungrok.study.seeding import Seeds
from ungrok.study.units import drawing

if TYPE_CHECKING:
    from ungrok.data.base import Problem
    from ungrok.study.recipe import Recipe


def seen_by(recipe: Recipe, problem: Problem, seed: int) -> Problem:
    """Return the problem as one seed of a recipe sees it: with data of its own where the recipe says so or was given such."""
    given = given_of(recipe, seed)
    if given is not None:
        return problem.model_copy(update={"content": given.data})
    if recipe.data_seed is None:
        return problem
    return problem.model_copy(update={"data_seed": Seeds(drawing(recipe, seed)).data})


def check_draws(recipe: Recipe) -> None:
    """Raise ValueError where more than one draw is asked of what is not drawn."""
    if recipe.data_seed is not None:
        for arm in (BASE, *recipe.arms):
            _check_drawn(recipe.for_arm(arm)[0])
    fixed = [rule.label for rule in recipe.forget if not rule.drawn]
    if recipe.forget_draws > 1 and fixed:
        raise ValueError(
            f"forget_draws: {recipe.forget_draws} draws of {shown(fixed[0])} would all be the same examples; "
            "leave that split or forget_draws out"
        )
    lone = [rule.label for rule in recipe.forget if rule.single]
    if recipe.requests > 1 and lone:
        raise ValueError(
            f"requests: {recipe.requests} sets of {shown(lone[0])} cannot be had: it knows one set only; leave that split or requests out"
        )


def _check_drawn(problem: Problem) -> None:
    if not problem.drawn:
        raise ValueError(f"data_seed: per_seed needs data that are drawn; those of problem {problem.kind!r} are fixed")
    if problem.data_seed != type(problem).model_fields["data_seed"].get_default():
        raise ValueError(
            f"problem.data_seed: {problem.data_seed} would have no effect, since data_seed is per_seed; leave one of the two out"
        )
