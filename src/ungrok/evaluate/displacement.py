"""How far unlearning has moved a model from where its path started: in its weights, and in what it computes.

Updates and learning rates are no measure of how much a model has changed. These are: neither the number of updates nor the size
of a gradient enters them, and the distances of functions are the same for models that compute the same function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ungrok.core.objective import Objective
from ungrok.core.scores import ClassScores, Scores, device_of, evaluating
from ungrok.core.seeds import generator
from ungrok.data.base import Split
from ungrok.evaluate.distances import distance_between

DISPLACEMENTS = ("weight_distance", "weight_distance_relative", "moved_forget", "moved_retain")


class Displacement:
    """The distance of a model from the one that a path started from, absolute and relative to the norm of the start.

    ``weight_distance`` is the Euclidean distance of all parameters, and ``weight_distance_relative`` is that divided by the norm
    of the starting ones. ``moved_forget`` and ``moved_retain`` are distances of functions on examples of a set
    (:meth:`ungrok.core.objective.Objective.moved`): root mean square changes of logits relative to the logits themselves for classifiers, mean
    Kullback-Leibler divergences per answer token for language models.

    Of each set :attr:`ungrok.core.objective.Objective.compared` examples are looked at, drawn once and the same at every place of the path.

    Args:
        start: The model at the start of the path; it must not change afterwards.
        objective: How a batch becomes logits.
        train: All training examples.
        sets: Indices into them, int64 of shape (n,), of ``forget`` and ``retain``.
        seed: Seed of the draw of examples.
        scores: Those of ``start`` on ``train``, if they are known. Where they hold logits, these are compared, and no model is run; at a
            place without them the model is run.
        examples: Number of examples of each set that are looked at; that of the objective when None.

    """

    def __init__(
        self,
        start: nn.Module,
        objective: Objective,
        train: Split,
        sets: Mapping[str, Tensor],
        seed: int,
        scores: Scores | None = None,
        examples: int | None = None,
    ) -> None:
        self._start, self._objective, self._train = start, objective, train
        self._weights = list(start.parameters())
        self._norm = _norm(start)
        self._chosen = {
            role: index[
                torch.randperm(len(index), generator=generator(seed, f"displacement on {role}"))[
                    : examples or objective.compared
                ]
            ]
            for role, index in sets.items()
        }
        self._before = self._logits(start, scores)

    @cached_property
    def _batches(self) -> dict[str, Any]:
        device = device_of(self._start)
        return {role: self._objective.move(self._train.batch(index), device) for role, index in self._chosen.items()}

    def _logits(self, model: nn.Module, scores: Scores | None) -> dict[str, Tensor]:
        if isinstance(scores, ClassScores) and (logits := scores.logits) is not None:
            return {role: logits[index].double() for role, index in self._chosen.items()}
        with torch.no_grad(), evaluating(model):
            return {role: self._objective.logits(model, batch) for role, batch in self._batches.items()}

    def of(self, model: nn.Module, scores: Scores | None = None) -> dict[str, float | None]:
        """Return how far a model has moved in its function and in its weights: :data:`DISPLACEMENTS`.

        A value is None where the model has diverged, or where the start has no weights or logits to compare with.
        """
        distance = distance_between(model.parameters(), self._weights)
        relative = None if distance is None or self._norm == 0 else distance / self._norm
        now = self._logits(model, scores)
        moved = {
            f"moved_{role}": _finite(self._objective.moved(self._before[role], logits)) for role, logits in now.items()
        }
        return {"weight_distance": distance, "weight_distance_relative": relative, **moved}


def _norm(model: nn.Module) -> float:
    return math.sqrt(sum(weight.detach().double().square().sum().item() for weight in model.parameters()))


def _finite(value: Tensor) -> float | None:
    number = value.item()
    return number if math.isfinite(number) else None
