"""The key ``schemes`` of a recipe: schemes that prepare for deletion during training."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ungrok.core.errors import shown
from ungrok.core.plain import check_name
from ungrok.train.schemes import SCHEMES, Scheme

if TYPE_CHECKING:
    from ungrok.study.recipe import Recipe

    AnyScheme = Scheme
else:
    AnyScheme = SCHEMES.union()


def check_schemes(recipe: Recipe) -> None:
    """Raise ValueError where the schemes of a recipe do not fit the rest of it."""
    for scheme in recipe.schemes:
        check_name(scheme.label, "schemes")
    if not recipe.schemes:
        return
    names = Counter([*recipe.unlearn_labels(), *(scheme.label for scheme in recipe.schemes)])
    repeated = [label for label, count in names.items() if count > 1]
    if repeated:
        raise ValueError(f"schemes: two entries are called {shown(min(repeated))}; give one a name")
    if recipe.problem.family == "language":
        raise ValueError(
            f"schemes: are for classifiers; those of problem {shown(recipe.problem.kind)} are language models"
        )
    if recipe.trajectory.exposure is not None:
        raise ValueError("schemes: do not go with trajectory.exposure, which shows examples by a plan for all of them")
    if recipe.given:
        raise ValueError("schemes: need trainings that a sweep does not make; leave it out")
