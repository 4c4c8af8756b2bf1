"""The contract of every analysis: what it is given, and the readings it returns."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

from ungrok.core.entrance import Entrance, check_model, check_seed, enter, entering
from ungrok.core.errors import RecipeError
from ungrok.core.modules import bare, duplicate
from ungrok.core.objective import Batch, Batches, Objective
from ungrok.core.registry import Registry
from ungrok.core.schema import Schema
from ungrok.core.scores import evaluating
from ungrok.core.seeds import generator, seeded
from ungrok.core.sets import check_batches

ROLES = ("forget", "retain", "test")

MODEL = "model"
"""Layer name of the whole model."""


@dataclass(frozen=True)
class Null:
    """What a measure gives where there is nothing to find.

    Args:
        low: 5 % quantile over the draws.
        median: Median over the draws.
        high: 95 % quantile over the draws.
        draws: Number of draws.

    """

    low: float
    median: float
    high: float
    draws: int

    @classmethod
    def of(cls, values: Iterable[float] | Tensor) -> Null | None:
        """Return the quantiles of the finite draws, or None where there are none."""
        drawn = torch.as_tensor(values if isinstance(values, Tensor) else list(values), dtype=torch.float64)
        drawn = drawn[torch.isfinite(drawn)]
        if len(drawn) == 0:
            return None
        low, median, high = drawn.quantile(torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)).tolist()
        return cls(low, median, high, len(drawn))


@dataclass(frozen=True)
class Reading:
    """One number with its unit and its nulls.

    Args:
        measure: What was measured.
        on: The data, for instance ``"forget"`` or ``"forget|retain"``.
        value: The number; None where it is not finite.
        unit: Its unit; ``"1"`` for a pure number.
        layer: Name of the layer, or ``"model"``.
        examples: Number of examples behind the value.
        nulls: By name; a null that cannot be drawn is missing.

    """

    measure: str
    on: str
    value: float | None
    unit: str = "1"
    layer: str = MODEL
    examples: int | None = None
    nulls: Mapping[str, Null | None] = field(default_factory=dict)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the value as one row, and one row per null with its median in the place of the value."""
        where = {"measure": self.measure, "on": self.on, "layer": self.layer, "unit": self.unit}
        where["examples"] = self.examples  # type: ignore[assignment]
        finite = self.value is not None and math.isfinite(self.value)
        yield where | {"null": "", "value": self.value if finite else None, "low": None, "high": None, "draws": None}
        for name, null in self.nulls.items():
            if null is not None:
                ends = {"low": null.low, "high": null.high, "draws": null.draws}
                yield where | {"null": name, "value": null.median} | ends


@dataclass(frozen=True)
class Subject:
    """A model and the data it is analyzed on.

    Args:
        model: Analyzed in eval mode, in float32 at least; neither its weights nor its mode change.
        objective: How a batch becomes logits and losses.
        sets: Re-iterable batches of ``forget``, ``retain`` and ``test``.
        references: Models of the same layers to compare with, by name (``oracle``, ``before``, another stage).
        seed: The only source of randomness.
        trusted: That the model has run on these sets before, as on those of a study: what is read is not checked again.

    """

    model: nn.Module
    objective: Objective
    sets: Mapping[str, Batches]
    references: Mapping[str, nn.Module] = field(default_factory=dict)
    seed: int = 0
    trusted: bool = False
    entrance: Entrance | None = field(default=None, repr=False, compare=False)
    """Checks what is read, while something is measured."""
    sizes: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """Sizes of the sets that have been counted."""

    def batches(self, role: str) -> Iterator[Batch]:
        """Yield one pass over a set, on the model's device.

        Raises:
            RecipeError: If a batch cannot be learned from.

        """
        for raw in self.sets[role]:
            with entering(role):
                batch = self._widened(enter(self.objective, self.model, raw))
            if self.entrance is not None:
                self.entrance.inspect(role, batch, self._logits)
            yield batch

    def _widened(self, batch: Batch) -> Batch:
        """Return a batch whose inputs have the precision of a model in full, where that is what the model is."""
        if is_low(self.model):
            return batch
        return tree_map(lambda t: t.float() if t.is_floating_point() and torch.finfo(t.dtype).bits < 32 else t, batch)

    @torch.no_grad()
    def _logits(self, batch: Batch) -> Tensor:
        with evaluating(self.model):
            return self.objective.logits(self.model, batch)

    def size(self, role: str) -> int:
        """Return the number of examples of a set."""
        if role not in self.sizes:
            self.sizes[role] = sum(map(self.objective.size, self.batches(role)))
        return self.sizes[role]

    def examples(self, role: str, limit: int | None = None) -> Batch:
        """Return all examples of a set as one batch, or a random ``limit`` of them in their order."""
        if limit is None or (count := self.size(role)) <= limit:
            return joined(self.objective, self.batches(role))
        chosen = torch.zeros(count, dtype=torch.bool)
        chosen[torch.randperm(count, generator=generator(self.seed, "examples", role))[:limit]] = True
        parts, start = [], 0
        for batch in self.batches(role):
            here = chosen[start : start + self.objective.size(batch)].nonzero().squeeze(1)
            start += self.objective.size(batch)
            parts.append(select(batch, here))
        return joined(self.objective, parts)


def joined(objective: Objective, batches: Iterable[Batch]) -> Batch:
    """Return several batches as one.

    Raises:
        RecipeError: If there are none.

    """
    parts = list(batches)
    if not parts:
        raise RecipeError("analyze: a set holds no batches")
    return objective.join(*parts) if len(parts) > 1 else parts[0]


def select(batch: Batch, index: Tensor | slice) -> Batch:
    """Return the examples of a batch that ``index`` selects."""
    return tree_map(lambda t: t[index.to(t.device) if isinstance(index, Tensor) else index], batch)


def chunks(batch: Batch, size: int, chunk: int) -> Iterator[Batch]:
    """Yield a batch of ``size`` examples in parts of at most ``chunk``."""
    for start in range(0, size, chunk):
        yield select(batch, slice(start, start + chunk))


def pool(subject: Subject, limit: int) -> tuple[Batch, Tensor, Tensor]:
    """Return forget and retain examples as one batch, and the indices of each in it.

    Args:
        subject: Has both sets.
        limit: More examples than this together are sampled down, both sets by the same share.

    """
    sizes = [subject.size(role) for role in ("forget", "retain")]
    share = min(1.0, limit / sum(sizes))
    counts = [max(1, round(share * size)) for size in sizes]
    parts = [subject.examples(role, count) for role, count in zip(("forget", "retain"), counts, strict=True)]
    index = torch.arange(sum(counts))
    return joined(subject.objective, parts), index[: counts[0]], index[counts[0] :]


class Analysis(Schema):
    """A measure, or a family of measures that share their work, with its settings."""

    needs: ClassVar[tuple[str, ...]] = ("forget", "retain")
    """Sets that the analysis cannot do without; ``references`` for one that compares models."""

    compares: ClassVar[bool] = False
    """Whether the analysis uses reference models."""

    kind: str
    name: str | None = Field(None, description="label in tables; the kind when null")
    after: bool = Field(True, description="in a study: measured after every unlearning path, too")

    @property
    def label(self) -> str:
        """The name shown in tables."""
        return self.name or self.kind

    def beside(self) -> frozenset[str]:
        """Return the names of readings that are no measures themselves: error bounds, diagnostics, a measure in another form."""
        return frozenset()

    def check(self, subject: Subject) -> None:
        """Raise NotApplicable or RecipeError if this cannot be measured, as far as a few examples tell; in eval mode."""

    @abstractmethod
    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield the readings; the models are in eval mode and the global random state is private."""

    def measure(self, subject: Subject) -> list[Reading]:
        """Return the readings of a model.

        Raises:
            RecipeError: If a set or a reference model that the analysis needs is missing or empty.
            NotApplicable: If the analysis does not apply to this model or data.

        """
        for need in self.needs:
            if not (subject.references if need == "references" else need in subject.sets):
                raise RecipeError(f"{self.kind} needs {need}, which was not given")
        check_model("model", subject.model)
        check_seed(subject.seed)
        for role, batches in subject.sets.items():
            check_batches(role, batches)
        with ExitStack() as stack:
            stack.enter_context(seeded(subject.seed))
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # the fused kernels have no second derivative
            references = {name: in_full(bare(model)) for name, model in subject.references.items()}
            model, entrance = in_full(bare(subject.model)), None if subject.trusted else Entrance(subject.objective)
            whole = replace(subject, model=model, references=references, entrance=entrance, sizes={})
            for model in (whole.model, *references.values()):
                stack.enter_context(evaluating(model))
            self.check(whole)
            return list(self.readings(whole))


def in_full(model: nn.Module) -> nn.Module:
    """Return the model, or a float32 copy where a weight has fewer bits: small moves of weights or inputs would be rounded away."""
    return duplicate(model).float() if is_low(model) else model


def is_low(model: nn.Module) -> bool:
    """Return whether a weight of a model has fewer than 32 bits."""
    return any(p.is_floating_point() and torch.finfo(p.dtype).bits < 32 for p in model.parameters())


ANALYSES: Registry[Analysis] = Registry(
    "analysis", "ungrok.analyses", ("ungrok.analyze", "ANALYSES.register"), Analysis
)
