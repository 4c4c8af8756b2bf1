"""The rules for verdicts tried on a study's own paths: how often they give a word where the two sides were swapped at random.

Where each seed's two paths may be swapped, nothing tells the sides apart, and any word is a mistake. The raw paths are swapped, those
of every method and learning rate together, and judged anew: a choice that looks at more than its own seed and side (a rate, a
row, a median) would show as more words than the level of the family.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ungrok.core.errors import RecipeError
from ungrok.study.claims.headline import resolved
from ungrok.study.claims.judge import Paths, judge_paths
from ungrok.study.claims.verdicts import Doses, Verdict
from ungrok.study.inference import FEWEST, flips
from ungrok.study.place import comparisons
from ungrok.study.recipe import Recipe
from ungrok.study.units import units_of


@dataclass(frozen=True)
class Calibration:
    """How many of the draws gave a word.

    Args:
        draws: Random swaps that were judged.
        words: Draws in which any row was given a direction.
        no_difference: Draws in which any row was refuted because its effect is too small to matter.
        claims: By claim of the headline family, the draws in which one of its rows was given a direction.
        alpha: The level at which the family was judged.

    """

    draws: int
    words: int
    no_difference: int
    claims: Mapping[str, int]
    alpha: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the chance of any direction (Clopper & Pearson 1934, Biometrika 26:404)."""
        from scipy import stats

        low, high = stats.binomtest(self.words, self.draws).proportion_ci(0.95, "exact")
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        """Return the shares of draws, by what was said."""
        return {
            "draws": self.draws,
            "alpha": self.alpha,
            "any_word": self.words / self.draws,
            "interval": list(self.interval),
            **{claim: count / self.draws for claim, count in self.claims.items()},
            "no_difference": self.no_difference / self.draws,
        }


def calibrate(
    replicates: Sequence[Paths],
    recipe: Recipe,
    doses: Mapping[str, Doses],
    draws: int = 100,
    seed: int = 0,
    *,
    alpha: float | None = None,
) -> Calibration:
    """Judge a study again and again with the sides of its headline comparison swapped in random seeds.

    Of a headline with several comparisons it is the first alone: sides that two of them share cannot be swapped in both.

    Args:
        replicates: The paths of the study, as for :func:`~ungrok.study.claims.judge.judge_paths`.
        recipe: Its recipe.
        doses: Per method label, where its paths end and where doses are matched.
        draws: Random swaps, at least one, all different; where there are no more than these, each is judged once, and the share of
            draws with a word is exact. It is then at most alpha unless a choice leaks.
        seed: Seed of the draws.
        alpha: What the look at the study may spend, so that the words tried are those that its report gives; the recipe's when None.

    Raises:
        RecipeError: If the study cannot be given a word at all: nothing is compared, or it has too few seeds.

    """
    recipe = _headline_alone(recipe)
    level = recipe.claims.alpha if alpha is None else alpha
    if draws < 1:
        raise RecipeError(f"draws: {draws} is not at least 1")
    units = units_of(recipe)
    if len(units) < FEWEST:
        raise RecipeError(
            f"seeds: words need at least {FEWEST}, and {units.counted(len(units))} cannot give a wrong one"
        )
    every = flips(len(units))
    drawn = every[np.random.default_rng(seed).permutation(len(every))[:draws]]
    counts: Counter[str] = Counter()
    claims: tuple[str, ...] = ()
    for signs in drawn:
        turned = [places for places, sign in zip(units.members, signs, strict=True) if sign < 0]
        flipped = {recipe.seeds[place] for places in turned for place in places}
        verdicts = judge_paths(
            [swapped(paths, recipe, flipped) for paths in replicates], recipe, doses, level, headline_only=True
        )
        claims = tuple(dict.fromkeys(verdict.claim.kind for verdict in verdicts))
        counts.update(_said(verdicts))
    by_claim = {claim: counts[claim] for claim in claims}
    return Calibration(len(drawn), counts["any word"], counts["no difference"], by_claim, level)


def _headline_alone(recipe: Recipe) -> Recipe:
    """Return the recipe that compares nothing but its headline."""
    headline = resolved(recipe)
    if headline is None:
        raise RecipeError("claims.compare: is empty, so there are no words to try")
    alone = headline.model_copy(update={"also": []})
    only = {"compare": [headline.compare], "targets": [headline.target], "headline": alone}
    return recipe.model_copy(update={"claims": recipe.claims.model_copy(update=only)})


def swapped(paths: Paths, recipe: Recipe, seeds: set[int]) -> Paths:
    """Return the paths with the sides of every comparison of a recipe swapped in some seeds.

    Args:
        paths: Paths by place and seed.
        recipe: No place may be in two of its comparisons.
        seeds: Where all paths of both sides change places, whatever their method and learning rate.

    """
    other = {}
    for comparison in comparisons(recipe):
        for label in {place.method for place, _ in paths}:
            left, right = comparison.places(label)
            other[left], other[right] = right, left
    return {
        (other.get(place, place) if seed in seeds else place, seed): track for (place, seed), track in paths.items()
    }


def _said(verdicts: Sequence[Verdict]) -> set[str]:
    """Return the claims of which a direction was named, whether any was, and whether "no difference" was said."""
    directions = {verdict.claim.kind for verdict in verdicts if verdict.directional}
    said = {"any word"} if directions else set()
    return directions | said | ({"no difference"} if any(verdict.no_difference for verdict in verdicts) else set())
