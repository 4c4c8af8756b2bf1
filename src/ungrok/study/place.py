"""Places of a study: where an unlearning path starts, and which two of them a comparison sets side by side."""

from __future__ import annotations

from dataclasses import dataclass

from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import Side
from ungrok.train.stages import stage_name


@dataclass(frozen=True, order=True)
class Place:
    """The start of a path and what is done from there: arm and stage of the model, forget split and method, by their labels."""

    arm: str
    stage: str
    forget: str
    method: str


@dataclass(frozen=True)
class Comparison:
    """Two sides that are compared seed by seed, the earlier one left, each on a forget split.

    Args:
        left: Arm and stage of the earlier side.
        right: Arm and stage of the later side.
        left_forget: Label of the forget split of the left side.
        right_forget: Label of the forget split of the right side; mostly the same.

    """

    left: Side
    right: Side
    left_forget: str
    right_forget: str

    @property
    def label(self) -> str:
        """The name of both sides in tables."""
        return f"{self.left.label} → {self.right.label}"

    @property
    def forget(self) -> str:
        """The name of the forget splits in tables: one label where both are the same."""
        same = self.left_forget == self.right_forget
        return self.left_forget if same else f"{self.left_forget} → {self.right_forget}"

    @property
    def forgets(self) -> tuple[str, str]:
        """The labels of both forget splits, left first."""
        return self.left_forget, self.right_forget

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both sides, left first."""
        return self.left, self.right

    def places(self, method: str) -> tuple[Place, Place]:
        """Return the places that are compared for one method, left first."""
        left, right = (
            Place(side.arm, stage_name(side.stage), forget, method)
            for side, forget in zip(self.sides, self.forgets, strict=True)
        )
        return left, right


def comparisons(recipe: Recipe) -> list[Comparison]:
    """Return every comparison of a recipe; sides that name no forget split are compared on each split in turn that the arms of both have."""
    every = []
    for left, right in recipe.claims.compare:
        named = left.forget or right.forget
        own, other = (recipe.forget_labels(side.arm) for side in (left, right))
        splits = [named] if named else [split for split in own if split in other]
        every += [Comparison(left, right, left.forget or split, right.forget or split) for split in splits]
    return every
