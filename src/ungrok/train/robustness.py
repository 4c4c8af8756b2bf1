"""Robust accuracy along a trajectory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field, field_validator
from torch import nn

from ungrok.core.attacks import ATTACKS, Attack, PGDLinf
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Objective
from ungrok.core.schema import Schema
from ungrok.core.seeds import derive, generator
from ungrok.data.base import Split
from ungrok.data.batches import TensorBatches

if TYPE_CHECKING:
    AnyAttack = Attack
else:
    AnyAttack = ATTACKS.union()

ATTACK_BATCH = 512


def column(label: str) -> str:
    """Return the metric that holds an attack's robust accuracy, for instance ``adversarial_pgd_linf_accuracy``."""
    return f"adversarial_{label}_accuracy"


class Robustness(Schema):
    """Attacks measured at every evaluated step, on the same validation examples from the same random starts."""

    attacks: tuple[AnyAttack, ...] = Field((PGDLinf(),), min_length=1, description="the first one defines transitions")
    examples: int = Field(512, ge=1, description="validation examples that are attacked")
    seed: int = Field(0, ge=0, description="seed of the choice of examples and of the random starts")

    @field_validator("attacks")
    @classmethod
    def _distinct(cls, value: tuple[Attack, ...]) -> tuple[Attack, ...]:
        labels = [attack.label for attack in value]
        if len(set(labels)) < len(labels):
            raise ValueError(f"{labels}: two attacks have the same label; give one a name")
        return value

    def subset(self, validation: Split) -> Split:
        """Return the examples that are attacked.

        Raises:
            RecipeError: If there are too few, or an attack's box does not hold them.

        """
        if self.examples > len(validation):
            raise RecipeError(
                f"trajectory.robustness.examples: {self.examples} asked of {len(validation)} validation examples; allowed: at most all"
            )
        chosen = torch.randperm(len(validation), generator=generator(self.seed, "robustness"))[: self.examples]
        inputs, targets = validation.batch(chosen.sort().values)
        low, high = float(inputs.min()), float(inputs.max())
        for attack in self.attacks:
            if attack.box is not None and not attack.box[0] <= low <= high <= attack.box[1]:
                raise RecipeError(
                    f"trajectory.robustness.attacks: the box {attack.box} of {attack.label!r} does not hold inputs from "
                    f"{low:g} to {high:g}; give it the range of the inputs, or null"
                )
        return Split(inputs, targets)

    def measure(self, model: nn.Module, examples: Split, objective: Objective) -> dict[str, float | None]:
        """Return robust accuracy in [0, 1] per attack; None for a diverged model."""
        batches = TensorBatches(examples, ATTACK_BATCH)
        return {
            column(attack.label): attack.scores(model, batches, objective, derive(self.seed, attack.label)).accuracy
            for attack in self.attacks
        }
