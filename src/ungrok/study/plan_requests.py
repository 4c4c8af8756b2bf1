"""What the jobs of a plan are made of: the settings of an arm, and what one of its trainings is to forget."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ungrok.data.base import Problem
from ungrok.data.forget import ForgetRule
from ungrok.models.base import Model
from ungrok.study.jobs.blocks import Forget, OwnLoss
from ungrok.study.jobs.trained import TrainSpec
from ungrok.study.recipe import Recipe
from ungrok.study.seeding import Seeds
from ungrok.train import Training
from ungrok.train.exposure import Assignment


@dataclass(frozen=True)
class ArmSettings:
    """What the trainings of an arm are made of.

    Args:
        name: The arm.
        problem: Pinned to the content of the user's own files.
        model: The model.
        training: How it is trained.
        device: The device.
        loss: The base arm's loss where this arm was trained with another, else None: all arms are unlearned and measured alike.
        assignment: Which groups its exposure has, which depends on the seed; None without one.

    """

    name: str
    problem: Problem
    model: Model
    training: Training
    device: str
    loss: OwnLoss | None
    assignment: Assignment | None = None

    @classmethod
    def of(cls, recipe: Recipe, name: str) -> ArmSettings:
        """Return the settings of an arm of a recipe."""
        problem, model, training = recipe.for_arm(name)
        base, own = (OwnLoss(loss=one.loss, loss_precision=one.loss_precision) for one in (recipe.trajectory, training))
        return cls(name, problem.pinned(), model, training, device_of(recipe), None if own == base else base)

    def spec(
        self, seed: int, training: Training | None = None, without: Forget | None = None, given: str | None = None
    ) -> TrainSpec:
        """Return the spec of a training of this arm; where ``training`` is not None, that of its base model."""
        return TrainSpec(
            problem=self.problem,
            model=self.model,
            trajectory=training or self.training,
            device=self.device,
            training_seed=seed,
            without=without,
            part="base" if training else None,
            measured="classes left" if without and without.rule.empties_classes else None,
            assignment=None if training else self.assignment,
            given=given,
        )


@dataclass(frozen=True)
class Request:
    """What the trajectory of an arm and a seed is to forget.

    Args:
        arm: The arm.
        seed: A seed of the recipe.
        rule: The forget rule.
        draw: Which draw of the rule, counted from 0.
        split: Key of the job that makes the split, for rules that depend on how training went.
        drawing: The seed whose draws it takes: ``seed``, or that of its swapped pair.
        phase: Which of several requests in sequence, counted from 1.

    """

    arm: ArmSettings
    seed: int
    rule: ForgetRule
    drawing: int
    draw: int = 0
    split: str | None = None
    phase: int = 1

    @property
    def forget(self) -> Forget:
        """The rule with the seed of its draw, and those of the requests before it."""
        if self.phase > 1:
            *before, own = Seeds(self.drawing).requests_of(self.phase)
            return Forget(rule=self.rule, seed=own, before=tuple(before))
        return Forget(rule=self.rule, seed=Seeds(self.drawing).forget_of(self.draw))

    @property
    def split_input(self) -> dict[str, str]:
        """The input by which jobs are told a split that depends on how training went; empty for other splits."""
        return {} if self.split is None else {"split": self.split}


def device_of(recipe: Recipe) -> str:
    """Return the device that the recipe's jobs run on. It need not be here: finished studies are read on any machine."""
    if recipe.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return recipe.device
