"""The seeds of a study: every draw of every job has a name, and its seed is derived here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ungrok.core.seeds import derive


@dataclass(frozen=True)
class Seeds:
    """The seeds of the draws in the jobs that one seed of a recipe stands for.

    Args:
        seed: A seed of the recipe.

    """

    seed: int

    @cached_property
    def base(self) -> int:
        """The seed of training the model that trajectories start from."""
        return derive(self.seed, "base")

    @cached_property
    def training(self) -> int:
        """The seed of a trajectory and of its oracles."""
        return derive(self.seed, "training")

    @cached_property
    def noise(self) -> int:
        """The seed of the second oracle, which shows how much of a difference is noise."""
        return derive(self.seed, "noise")

    @cached_property
    def data(self) -> int:
        """The seed of drawing the data, where each seed of a study has data of its own."""
        return derive(self.seed, "data")

    @cached_property
    def exposure(self) -> int:
        """The seed of assigning training examples to groups that are shown early and late."""
        return derive(self.seed, "exposure")

    @cached_property
    def forget(self) -> int:
        """The seed of drawing forget splits."""
        return derive(self.seed, "forget")

    def forget_of(self, draw: int) -> int:
        """Return the seed of a draw of forget splits, counted from 0; that of the first is ``forget``."""
        return derive(self.seed, "forget", draw) if draw else self.forget

    def requests_of(self, count: int) -> tuple[int, ...]:
        """Return the seeds of so many requests in sequence, each of which draws a forget split; that of the first is ``forget``."""
        return (self.forget, *(derive(self.seed, "forget", "request", number) for number in range(2, count + 1)))

    @cached_property
    def unlearning(self) -> int:
        """The seed of unlearning paths."""
        return derive(self.seed, "unlearning")

    def unlearning_of(self, repeat: int) -> int:
        """Return the seed of a repeat of unlearning paths, counted from 0; that of the first is ``unlearning``."""
        return derive(self.seed, "unlearning", repeat) if repeat else self.unlearning

    def unlearning_in(self, phase: int) -> int:
        """Return the seed of the path of a request in a sequence, counted from 1; that of the first is ``unlearning``."""
        return derive(self.seed, "unlearning", "phase", phase) if phase > 1 else self.unlearning

    @cached_property
    def probe(self) -> int:
        """The seed of drawing the questions that are put to a language model."""
        return derive(self.seed, "probe")

    @cached_property
    def analysis(self) -> int:
        """The seed of the draws of measures and of their nulls."""
        return derive(self.seed, "analysis")

    @cached_property
    def stress(self) -> int:
        """The seed of the attacks after unlearning, the same for all models that are attacked."""
        return derive(self.seed, "stress")

    @cached_property
    def shadows(self) -> int:
        """The seed of drawing what each shadow model is trained on."""
        return derive(self.seed, "shadows")

    def shadow_of(self, number: int) -> int:
        """Return the seed of training a shadow model, counted from 0."""
        return derive(self.shadows, "training", number)

    def shadow_unlearning_of(self, number: int) -> int:
        """Return the seed of the unlearning paths of a shadow model, counted from 0."""
        return derive(self.shadows, "unlearning", number)


def initial_weights(training_seed: int) -> int:
    """Return the seed of a model's first weights."""
    return derive(training_seed, "init")


def batch_order(training_seed: int) -> int:
    """Return the seed of a training's batches and stochastic layers."""
    return derive(training_seed, "training")


def path_batches(path_seed: int, role: str) -> int:
    """Return the seed of the batches that an unlearning path takes from the ``forget``, ``retain`` or ``validation`` set."""
    return derive(path_seed, role)


def fresh_weights(path_seed: int) -> int:
    """Return the seed of the fresh model that some methods start from."""
    return derive(path_seed, "factory")


def repair_of(path_seed: int) -> int:
    """Return the seed of the repairs that an unlearning path's places must stand."""
    return derive(path_seed, "repair")
