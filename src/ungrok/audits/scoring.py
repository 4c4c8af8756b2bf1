"""What is read of a model at every place of a stress test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from ungrok.audits.base import Examples, StressMaterial
from ungrok.core.objective import Batch, Family
from ungrok.core.scores import ClassScores, Scores

Score = Callable[[nn.Module, Tensor], Mapping[str, float | None]]
"""Takes a model and the numbers (int64) of the forget examples that the attacker does not hold; returns :data:`NUMBERS`."""

NUMBERS = ("UA", "RA", "TA", "validation_accuracy", "bystander_accuracy", "forget_loss", "retain_loss")
"""Accuracies in [0, 1] and mean losses in the objective's unit; None where the model has diverged or there are no examples."""

CHUNK: dict[Family, int] = {"classifier": 1024, "language": 64}
"""Examples per forward pass."""


def batches(examples: Examples, index: Tensor, family: Family) -> Iterator[Batch]:
    """Yield the examples that ``index`` (int64) selects, in its order, a few at a time."""
    for part in index.split(CHUNK[family]):
        yield examples.batch(part)


@dataclass(frozen=True)
class Scorer:
    """Reads :data:`NUMBERS` of any model on an attacker's material; a :data:`Score`.

    Args:
        material: Its sets are read; UA on the forget examples that are held back.

    """

    material: StressMaterial

    def __call__(self, model: nn.Module, held_back: Tensor) -> dict[str, float | None]:
        """Return the numbers; one forward pass over every set, in eval mode."""
        forget, retain = self.scores(model, self.material.forget, held_back), self.scores(model, self.material.retain)
        test, validation = (self.scores(model, part) for part in (self.material.test, self.material.validation))
        return {
            "UA": forget.accuracy,
            "RA": retain.accuracy,
            "TA": test.accuracy,
            "validation_accuracy": validation.accuracy,
            "bystander_accuracy": self._bystanders(test),
            "forget_loss": forget.loss,
            "retain_loss": retain.loss,
        }

    def scores(self, model: nn.Module, examples: Examples | None, index: Tensor | None = None) -> Scores:
        """Return the scores of a model on examples, or on those that ``index`` selects."""
        objective = self.material.objective
        index = torch.arange(len(examples) if examples is not None else 0) if index is None else index
        if examples is None or len(index) == 0:
            return objective.scores_type.empty()
        return objective.score(model, batches(examples, index, objective.family), keep_logits=False)

    def _bystanders(self, test: Scores) -> float | None:
        """Return the accuracy on test examples of classes without forget examples; None for other models than classifiers."""
        if not isinstance(test, ClassScores):
            return None
        return test.of(~torch.isin(test.targets, self._touched)).accuracy

    @cached_property
    def _touched(self) -> Tensor:
        """The classes of the forget examples, int64, with repetitions."""
        objective, forget = self.material.objective, self.material.forget
        every = batches(forget, torch.arange(len(forget)), objective.family)
        return torch.cat([objective.targets(objective.move(b, torch.device("cpu"))) for b in every])
