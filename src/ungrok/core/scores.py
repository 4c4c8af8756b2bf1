"""Scores: the losses and predictions of one model on one split, from which every metric is computed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from typing_extensions import override


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode, and give every submodule its own mode back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's first parameter, or the CPU for a model without any."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


@dataclass(frozen=True)
class Scores(ABC):
    """The losses and predictions of one model on one split, one entry per example, on the CPU.

    Args:
        losses: float, shape (n,): the objective's own loss.

    """

    kind: ClassVar[Literal["class", "answer"]]
    """Stored beside the tensors; says which class reads them back."""

    losses: Tensor

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def diverged(self) -> bool:
        """True where any logit or loss was not finite."""
        return not bool(torch.isfinite(self.losses).all())

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(tensor.nbytes for tensor in self._tensors().values())

    @property
    @abstractmethod
    def accuracy(self) -> float | None:
        """Share of correct predictions in [0, 1]; None for a diverged model or an empty split."""

    @property
    def loss(self) -> float | None:
        """Mean over examples of ``losses``; None for a diverged model or an empty split."""
        return self._mean(self.losses)

    def _mean(self, values: Tensor) -> float | None:
        return None if self.diverged or len(self) == 0 else values.double().mean().item()

    def summary(self) -> dict[str, float | None]:
        """Return what a trajectory records of a split, by name: ``loss``, ``accuracy``, and what only this kind has."""
        return {"loss": self.loss, "accuracy": self.accuracy}

    def memorization(self) -> dict[str, float | None]:
        """Return measures of memorization beyond accuracy and loss, by name; none for classes."""
        return {}

    def of(self, index: Tensor) -> Self:
        """Return the scores of the examples that ``index`` (int64 or bool) selects."""
        return replace(self, **{name: tensor[index] for name, tensor in self._tensors().items()})

    def cpu(self) -> Self:
        """Return the scores on the CPU."""
        return replace(self, **{name: tensor.cpu() for name, tensor in self._tensors().items()})

    def spread(self, index: Tensor, count: int) -> Self:
        """Return the scores of ``count`` examples, of which these are the ones at ``index``; the others are NaN, or −1 where numbers are whole.

        Args:
            index: int64, shape (n,).
            count: At least as many as there are.

        """

        def placed(tensor: Tensor) -> Tensor:
            filler = math.nan if tensor.is_floating_point() else -1
            wide = tensor.new_full((count, *tensor.shape[1:]), filler)
            wide[index] = tensor
            return wide

        return replace(self, **{name: placed(tensor) for name, tensor in self._tensors().items()})

    def _tensors(self) -> dict[str, Any]:
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the scores of several batches as one; all of them or none hold logits."""
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in parts[0]._tensors()})

    @classmethod
    @abstractmethod
    def empty(cls) -> Self:
        """Return the scores of no examples."""

    @classmethod
    @abstractmethod
    def stack(cls, places: Sequence[Mapping[str, Self]]) -> dict[str, Tensor]:
        """Return the scores along a path as named tensors.

        Args:
            places: For every place the scores by split, the same examples at each.

        Returns:
            ``<split>.<name>``, the places along the first dimension; :meth:`at` reads them back.

        """

    @classmethod
    @abstractmethod
    def at(cls, tensors: Mapping[str, Tensor], split: str, place: int) -> Self:
        """Return the scores on a split at one place of what :meth:`stack` made."""


@dataclass(frozen=True)
class ClassScores(Scores):
    """The scores of a classifier on one split.

    Args:
        losses: float, shape (n,): the objective's own loss.
        predictions: int64, shape (n,): the predicted class; −1 where a logit is not finite.
        targets: int64, shape (n,).
        logits: float, shape (n, classes), or None where they were not kept.

    """

    kind = "class"

    predictions: Tensor
    targets: Tensor
    logits: Tensor | None = None

    @property
    def diverged(self) -> bool:
        """True where any logit or loss was not finite."""
        return bool((self.predictions < 0).any()) or super().diverged

    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions in [0, 1]; None for a diverged model or an empty split."""
        return self._mean(self.predictions == self.targets)

    @classmethod
    @override
    def empty(cls) -> Self:
        none = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(0), none, none)

    @classmethod
    def stack(cls, places: Sequence[Mapping[str, Self]]) -> dict[str, Tensor]:
        """Return predictions (int16) and losses (float32) of shape (places, n), targets once, logits of the last place."""
        tensors: dict[str, Tensor] = {}
        for name, last in places[-1].items():
            tensors[f"{name}.predictions"] = torch.stack([place[name].predictions.to(torch.int16) for place in places])
            tensors[f"{name}.losses"] = torch.stack([place[name].losses.float() for place in places])
            tensors[f"{name}.targets"] = places[0][name].targets
            if last.logits is not None:
                tensors[f"{name}.logits"] = last.logits.float()
        return tensors

    @classmethod
    @override
    def at(cls, tensors: Mapping[str, Tensor], split: str, place: int) -> Self:
        predictions = tensors[f"{split}.predictions"]
        logits = tensors.get(f"{split}.logits") if place == len(predictions) - 1 else None
        return cls(tensors[f"{split}.losses"][place], predictions[place].long(), tensors[f"{split}.targets"], logits)


@dataclass(frozen=True)
class AnswerScores(Scores):
    """The scores of a language model on one split of question-answer pairs, each token predicted after the true ones before it.

    Args:
        losses: float32, shape (n,): mean negative log-likelihood of the answer tokens, in nats.
        matches: float32, shape (n,), in [0, 1]: share of answer tokens that are the model's first choice after the true
            prefix ("exact memorization", Tirumala et al. 2022, arXiv 2205.10770).
        extraction: float32, shape (n,), in [0, 1]: extraction strength, the share of the answer that the model completes
            by itself. It is ``1 − k/n``, where k of the n answer tokens are the shortest prefix after which every token is
            the model's first choice: 1 where no prefix is needed, 0 where even the last token is wrong (Wang et al. 2024,
            arXiv 2402.03927).
        tokens: int64, shape (n,): answer tokens that ``matches`` and ``extraction`` count.

    The token that ends an answer counts in losses only. Values are NaN where a logit is not finite.

    """

    kind = "answer"

    matches: Tensor
    extraction: Tensor
    tokens: Tensor

    @property
    def accuracy(self) -> float | None:
        """Mean of ``matches`` in [0, 1]; None for a diverged model or an empty split."""
        return self._mean(self.matches)

    @property
    def extraction_strength(self) -> float | None:
        """Mean of ``extraction`` in [0, 1]; None for a diverged model or an empty split."""
        return self._mean(self.extraction)

    @property
    def paper_strength(self) -> float | None:
        """Mean extraction strength as locuslab/open-unlearning computes it; None as above.

        It is 1/n, not 0, where even the last of n tokens is wrong: that code tries prefixes of up to n − 1 tokens, and takes the
        longest where none will do.
        """
        least = self.tokens.gt(0) / self.tokens.clamp(min=1)
        return self._mean(self.extraction.maximum(least))

    @property
    def probability(self) -> float | None:
        """Mean of ``exp(−loss)``, the geometric mean of an answer's token probabilities; None as above."""
        return self._mean((-self.losses).exp())

    @override
    def summary(self) -> dict[str, float | None]:
        return super().summary() | {"extraction": self.extraction_strength}

    def memorization(self) -> dict[str, float | None]:
        """Return ``extraction`` strength, the same as the paper's code has it as ``ES``, and ``probability``."""
        return {"ES": self.paper_strength, "extraction": self.extraction_strength, "probability": self.probability}

    @classmethod
    @override
    def empty(cls) -> Self:
        none = torch.zeros(0)
        return cls(none, none, none, none.long())

    @classmethod
    def stack(cls, places: Sequence[Mapping[str, Self]]) -> dict[str, Tensor]:
        """Return losses, matches and extraction, float32 of shape (places, n) each, and tokens once."""
        along = {
            f"{name}.{part}": torch.stack([getattr(place[name], part) for place in places])
            for name in places[0]
            for part in ("losses", "matches", "extraction")
        }
        return along | {f"{name}.tokens": scores.tokens for name, scores in places[0].items()}

    @classmethod
    @override
    def at(cls, tensors: Mapping[str, Tensor], split: str, place: int) -> Self:
        losses, matches, extraction = (
            tensors[f"{split}.{part}"][place] for part in ("losses", "matches", "extraction")
        )
        return cls(losses, matches, extraction, tensors[f"{split}.tokens"])
