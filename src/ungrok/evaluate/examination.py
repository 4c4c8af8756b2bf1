"""What an audit measures of the models' outputs, set by set: one class for each family of models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from ungrok.core.causal_lm import CausalLM
from ungrok.core.contents import Contents
from ungrok.core.entrance import Entrance, enter, entering
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Batch, Batches, Family, Objective
from ungrok.core.scores import ClassScores, Scores, device_of, evaluating
from ungrok.evaluate import leakage, membership
from ungrok.evaluate.accuracy import class_accuracies
from ungrok.evaluate.distances import MEASURES, SETS, TokenDistances, distances, js_divergence
from ungrok.evaluate.leakage import TokenStatistics, batch_statistics
from ungrok.evaluate.roc import AttackOutcome

ACCURACIES = {"UA": "forget", "RA": "retain", "TA": "test"}

UNLEARNED, ORACLE, RANDOM = "unlearned", "oracle", "random"
"""Names of the model that is audited, of the retrained one, and of the freshly initialized one, run on the forget set only."""


class Examination(ABC):
    """Scores of several models on the sets of an audit: every set is read once, and every model runs once on each batch.

    Args:
        objective: How a batch becomes logits and losses.
        models: By name: ``unlearned``, what it is compared with, and maybe ``random``.

    """

    reading: ClassVar[str]
    """Which direction of an attack's AUC is better, in a sentence."""
    tokenizer: Any = None
    """A tokenizer of transformers, for attacks on language models that need texts."""

    def __init__(self, objective: Objective, models: Mapping[str, nn.Module]) -> None:
        self.objective, self.models, self.entrance = objective, models, Entrance(objective)
        self.contents = Contents()
        self.scores: dict[str, dict[str, Scores]] = {name: {} for name in models if name != RANDOM}
        """By model and set."""

    @property
    def others(self) -> list[str]:
        """Names of the models that the unlearned one is compared with."""
        return [name for name in self.scores if name != UNLEARNED]

    def read(self, role: str, batches: Batches) -> None:
        """Run the models over ``forget``, ``retain`` or ``test``.

        Raises:
            RecipeError: If the set is empty, or holds batches that the objective does not take.

        """
        names = [name for name in self.models if name != RANDOM or role == "forget"]
        parts: dict[str, list[Scores]] = {name: [] for name in names}
        for raw in batches:
            with entering(role):
                batch = enter(self.objective, self.models[UNLEARNED], raw)
                self.objective.check_form(batch)
                for name, scores in self.run(role, batch, names):
                    parts[name].append(scores)
            self.entrance.apart(role, batch)
            self.contents.add(role, batch, self.objective.size(batch))
        if not any(parts.values()):
            raise RecipeError(f"{role}: holds no batches")
        self.keep(role, {name: type(scores[0]).joined(scores) for name, scores in parts.items()})

    def keep(self, role: str, scores: Mapping[str, Scores]) -> None:
        """Keep the scores of all models on a set."""
        for name in self.scores:
            self.scores[name][role] = scores[name]

    def fits(self, role: str, batch: Batch, logits: Tensor) -> None:
        """Raise RecipeError if a model's logits do not fit a batch."""
        self.entrance.fits(role, batch, logits)

    @abstractmethod
    def run(self, role: str, batch: Batch, names: Iterable[str]) -> Iterable[tuple[str, Scores]]:
        """Yield the name and the scores of each model on one batch of a set."""

    def accuracies(self) -> dict[str, dict[str, float | None]]:
        """Return UA, RA and TA of each model."""
        return {
            name: {key: scores[role].accuracy for key, role in ACCURACIES.items()}
            for name, scores in self.scores.items()
        }

    def classes(self) -> dict[str, dict[str, dict[int, float]]]:
        """Return each model's accuracies by class on each set; nothing of language models."""
        return {}

    def memorization(self) -> dict[str, dict[str, float | None]]:
        """Return :data:`ungrok.evaluate.answers.MEMORIZATION` of each language model; nothing of classifiers."""
        return {}

    @abstractmethod
    def membership(self, seed: int) -> dict[str, dict[str, AttackOutcome] | None]:
        """Return the attacks on each model by name; None where it has diverged or has too few examples."""

    @abstractmethod
    def distances(self) -> dict[str, dict[str, float | None]]:
        """Return how differently the unlearned model predicts from each other model, as ``<measure>_<set>``."""

    @abstractmethod
    def zrf(self) -> float | None:
        """Return the zero-retrain-forgetting score; see :func:`ungrok.evaluate.distances.zrf`."""


class ClassExamination(Examination):
    """An audit of classifiers."""

    reading = membership.READING

    def run(self, role: str, batch: Batch, names: Iterable[str]) -> Iterable[tuple[str, Scores]]:
        """Yield the scores of each model, logits included."""
        for name in names:
            yield name, self.objective.score(self.models[name], [batch], on_logits=partial(self.fits, role, batch))

    def keep(self, role: str, scores: Mapping[str, Scores]) -> None:
        """Keep those of the random model, too."""
        super().keep(role, scores)
        if RANDOM in scores:
            self.random = scores[RANDOM]

    def _of(self, name: str) -> dict[str, ClassScores]:
        return cast(dict[str, ClassScores], self.scores[name])

    def classes(self) -> dict[str, dict[str, dict[int, float]]]:
        """Return each model's accuracies by class on each set."""
        return {
            name: {role: class_accuracies(scores) for role, scores in self._of(name).items()} for name in self.scores
        }

    def membership(self, seed: int) -> dict[str, dict[str, AttackOutcome] | None]:
        """Return :data:`ungrok.evaluate.membership.ATTACKS`, forget against test examples of the same classes."""
        return {
            name: membership.membership(self._of(name)["forget"], self._of(name)["test"], seed) for name in self.scores
        }

    def distances(self) -> dict[str, dict[str, float | None]]:
        """Return means over examples."""
        return {other: distances(self._of(UNLEARNED), self._of(other)) for other in self.others}

    def zrf(self) -> float | None:
        """Return the score of the forget examples."""
        divergence = js_divergence(self._of(UNLEARNED)["forget"], cast(ClassScores, self.random))
        return None if divergence is None else 1 - divergence


class AnswerExamination(Examination):
    """An audit of language models; logits are summed up batch by batch and not kept."""

    reading = leakage.READING

    def __init__(self, objective: Objective, models: Mapping[str, nn.Module]) -> None:
        super().__init__(objective, models)
        self.tokens = {(name, role): TokenStatistics([], []) for name in self.scores for role in SETS}
        self.apart = {(name, role): TokenDistances() for name in self.models if name != UNLEARNED for role in SETS}

    def run(self, role: str, batch: Batch, names: Iterable[str]) -> Iterable[tuple[str, Scores]]:
        """Yield the scores of the unlearned model first, since its logits are compared with those of the others."""
        ours: Tensor | None = None
        for name in sorted(names, key=lambda name: name != UNLEARNED):
            logits, scores, statistics = self._of_batch(role, self.models[name], batch)
            if role in SETS:
                if name in self.scores:
                    self.tokens[name, role].extend(statistics)
                if ours is None:
                    ours = logits
                else:
                    self.apart[name, role].add(ours, logits.to(ours.device))
            yield name, scores

    def _of_batch(self, role: str, model: nn.Module, raw: Batch) -> tuple[Tensor, Scores, TokenStatistics]:
        objective = cast(CausalLM, self.objective)
        batch = objective.move(raw, device_of(model))
        with evaluating(model), torch.no_grad():
            logits = objective.logits(model, batch)
            self.fits(role, batch, logits)
            losses = objective.losses(logits, batch)
            scores = objective.scores_of(logits, losses, batch, keep_logits=False).cpu()
            return logits, scores, batch_statistics(logits, batch, objective, self.tokenizer)

    def memorization(self) -> dict[str, dict[str, float | None]]:
        """Return extraction strength and probability of each model on the forget and on the retained pairs."""
        return {
            name: {
                f"{measure}_{role}": value
                for role in ("forget", "retain")
                for measure, value in scores[role].memorization().items()
            }
            for name, scores in self.scores.items()
        }

    def membership(self, seed: int) -> dict[str, dict[str, AttackOutcome] | None]:  # noqa: ARG002
        """Return the token attacks :data:`ungrok.evaluate.leakage.ATTACKS`, forget against test examples."""
        return {name: self._attacks(name) for name in self.scores}

    def _attacks(self, name: str) -> dict[str, AttackOutcome] | None:
        sides = [self.scores[name][role] for role in SETS]
        if any(side.diverged or len(side) < 2 for side in sides):
            return None
        inside, outside = (self.tokens[name, role] for role in SETS)
        reference = (self.tokens[ORACLE, "forget"], self.tokens[ORACLE, "test"]) if ORACLE in self.others else None
        return leakage.attacks(inside, outside, reference=None if name == ORACLE else reference)

    def distances(self) -> dict[str, dict[str, float | None]]:
        """Return means over answer tokens, the end token included."""
        return {
            other: {f"{name}_{role}": self.apart[other, role].means()[name] for name in MEASURES for role in SETS}
            for other in self.others
        }

    def zrf(self) -> float | None:
        """Return the score of the forget examples' answer tokens."""
        divergence = self.apart[RANDOM, "forget"].means()["js_divergence"]
        return None if divergence is None else 1 - divergence


EXAMINATIONS: dict[Family, type[Examination]] = {"classifier": ClassExamination, "language": AnswerExamination}
"""By the family of the objective."""
