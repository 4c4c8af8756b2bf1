"""What is measured at a place of an unlearning path; one class for each kind of scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar

from torch import Tensor

from ungrok.core.scores import AnswerScores, ClassScores, Scores
from ungrok.evaluate.accuracy import Accuracies, accuracies
from ungrok.evaluate.answers import Questioned, answer_accuracies, beside, memorization, said
from ungrok.evaluate.distances import MEASURES, SETS, distances, relative_forgetting, tug_of_war, tug_of_war_membership
from ungrok.evaluate.drawn import WHOLE, estimated, restricted
from ungrok.evaluate.gap import NAMES, oracle_gap
from ungrok.evaluate.membership import ATTACKS, loss_auc, membership
from ungrok.evaluate.roc import AttackOutcome

SPLITS = ("train", "validation", "test")
FIGURES = ("auc", "low", "high", "tpr_at_0_01", "tpr_at_0_001")

S = TypeVar("S", bound=Scores)


@dataclass(frozen=True)
class Places(ABC, Generic[S]):
    """The stored scores of one model at the places of a path, or of an oracle at its one place.

    Args:
        tensors: For train, validation and test what :meth:`ungrok.core.scores.Scores.stack` made.
        forget: int64 indices into the training data.
        retain: int64 indices into the training data.
        classes: Classes with at least one forget example.

    """

    scores: ClassVar[type[Scores]]

    tensors: Mapping[str, Tensor]
    forget: Tensor
    retain: Tensor
    classes: Sequence[int]

    def at(self, split: str, place: int) -> S:
        """Return the scores on one split at a place."""
        return self.scores.at(self.tensors, split, place)  # type: ignore[return-value]

    @abstractmethod
    def accuracies(self, place: int) -> Accuracies:
        """Return accuracies and losses at a place, over all examples."""

    @cached_property
    def drawn(self) -> Self | None:
        """The same places on the examples that are scored at each of them; None where those are all."""
        if WHOLE not in self.tensors:
            return None
        part = restricted(self.tensors)
        return type(self)(part, part["forget"], part["retain"], self.classes)

    def estimates(self, place: int) -> tuple[Accuracies, dict[str, float | None]]:
        """Return accuracies and :meth:`memorization` at a place; estimates where it was not scored on all examples."""
        if self.drawn is None or self.tensors[WHOLE][place]:
            return self.accuracies(place), self.memorization(place)
        now, start, whole = (
            (source.accuracies(at).to_dict(), source.memorization(at))
            for source, at in ((self.drawn, place), (self.drawn, 0), (self, 0))
        )
        accuracies, memory = (estimated(*each) for each in zip(now, start, whole, strict=True))
        return Accuracies(**accuracies), memory

    def attacked(self, place: int) -> float | None:
        """Return :meth:`membership_auc` at a place, on the drawn examples where it was not scored on all."""
        source = self if self.drawn is None or self.tensors[WHOLE][place] else self.drawn
        return source.membership_auc(place)

    def memorization(self, place: int) -> dict[str, float | None]:  # noqa: ARG002
        """Return further measures of memorization at a place, by name."""
        return {}

    def membership_auc(self, place: int) -> float | None:  # noqa: ARG002
        """Return the AUC of the loss attack at a place; None where the test data cannot stand in for non-members."""
        return None

    @abstractmethod
    def audits(
        self,
        record: Mapping[str, Any],
        oracle: Places[S] | None,
        seed: int,
        asked: Questioned | None,
        oracle_asked: Questioned | None,
    ) -> list[dict[str, Any]]:
        """Return one row on the last place; see :func:`ungrok.evaluate.path.path_audits`."""


def place_of(record: Mapping[str, Any], place: int) -> dict[str, Any]:
    """Return where a place stands on its path: dose, updates (None on one-shot paths) and passes over the data."""
    passes = {f"{role}_passes": record["passes"][role][place] for role in ("forget", "retain")}
    updates = None if record["one_shot"] else record["updates"][place]
    return {"dose": record["doses"][place], "updates": updates, **passes}


class ClassPlaces(Places[ClassScores]):
    """Places of a classifier."""

    scores = ClassScores

    def accuracies(self, place: int) -> Accuracies:
        """Return accuracies and losses, bystander accuracy included."""
        train, validation, test = (self.at(name, place) for name in SPLITS)
        return accuracies(train, validation, test, forget=self.forget, retain=self.retain, classes=self.classes)

    def sides(self, place: int) -> dict[str, ClassScores]:
        """Return the scores on the ``forget`` and on the ``test`` data."""
        return _sides(self, place)

    def membership_auc(self, place: int) -> float | None:
        """Return the AUC of the loss attack, forget against test examples of the same classes."""
        return loss_auc(**self.sides(place))

    def audits(
        self,
        record: Mapping[str, Any],
        oracle: Places[ClassScores] | None,
        seed: int,
        asked: Questioned | None,  # noqa: ARG002
        oracle_asked: Questioned | None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """Return one row: attacks on the model and on the oracle, and the distance between the two."""
        last = len(record["doses"]) - 1
        start, end = (self.accuracies(place).to_dict() for place in (0, last))
        best = oracle.accuracies(0).to_dict() if oracle else dict.fromkeys(NAMES)
        ours, theirs = self.sides(last), _sides(oracle, 0) if oracle else None
        attacks, reference = membership(**ours, seed=seed), membership(**theirs, seed=seed) if theirs else None
        row = {
            **place_of(record, last),
            "diverged": None in (end["UA"], end["RA"], end["TA"]),
            **{name: end[name] for name in NAMES},
            "relative_forgetting": relative_forgetting(start["UA"], end["UA"]),
            "oracle_gap": oracle_gap(end, best),
            "tug_of_war": tug_of_war(end, best),
            "tug_of_war_membership": tug_of_war_membership(end, best, attacks, reference),
            **(distances(ours, theirs) if theirs else {f"{name}_{part}": None for name in MEASURES for part in SETS}),
            "members": attacks["loss"].members if attacks else None,
            "non_members": attacks["loss"].non_members if attacks else None,
            "pairs": attacks["svc"].members if attacks else None,
            **_columns(attacks, ""),
            **_columns(reference, "oracle_"),
        }
        return [row]


def _sides(places: Places[ClassScores], place: int) -> dict[str, ClassScores]:
    return {"forget": places.at("train", place).of(places.forget), "test": places.at("test", place)}


def _columns(attacks: dict[str, AttackOutcome] | None, prefix: str) -> dict[str, float | None]:
    return {
        f"{prefix}{name}_{figure}": getattr(attacks[name], figure) if attacks else None
        for name in ATTACKS
        for figure in FIGURES
    }


class AnswerPlaces(Places[AnswerScores]):
    """Places of a language model on question-answer pairs; its attacks are made where questions are put to it."""

    scores = AnswerScores

    def accuracies(self, place: int) -> Accuracies:
        """Return shares of answer tokens predicted, and losses."""
        train, validation, test = (self.at(name, place) for name in SPLITS)
        return answer_accuracies(train, validation, test, forget=self.forget, retain=self.retain)

    def memorization(self, place: int) -> dict[str, float | None]:
        """Return :data:`ungrok.evaluate.answers.MEMORIZATION`."""
        return memorization(self.at("train", place), forget=self.forget, retain=self.retain)

    def audits(
        self,
        record: Mapping[str, Any],
        oracle: Places[AnswerScores] | None,  # noqa: ARG002
        seed: int,  # noqa: ARG002
        asked: Questioned | None,
        oracle_asked: Questioned | None,
    ) -> list[dict[str, Any]]:
        """Return one row: what the model answered at the end, beside what the oracle did; nothing where it was not asked."""
        if asked is None:
            return []
        last = len(record["doses"]) - 1
        where, end, memory = place_of(record, last), self.accuracies(last), self.memorization(last)
        row: dict[str, Any] = {"dose": where["dose"], "updates": where["updates"]}
        row |= {"diverged": None in (end.UA, end.RA, end.TA), "UA": end.UA, "RA": end.RA, "TA": end.TA}
        row |= {name: memory[name] for name in memory if name.startswith(("ES", "extraction"))}
        row |= {name: where[name] for name in ("forget_passes", "retain_passes")}
        row |= said(asked.logs, "") | {f"{name}_auc": attack["auc"] for name, attack in asked.attacks.items()}
        return [row | beside(asked, oracle_asked)] if oracle_asked else [row]


PLACES: dict[str, type[Places[Any]]] = {cls.scores.kind: cls for cls in (ClassPlaces, AnswerPlaces)}
"""By the kind of scores, as it is stored beside them."""
