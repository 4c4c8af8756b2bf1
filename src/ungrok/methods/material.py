"""What a method works with: a copy of the model, the caller's sets, and checks of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import Subset
from typing_extensions import TypeVar

from ungrok.core.errors import RecipeError, UngrokError
from ungrok.core.objective import Batch, Batches, Objective
from ungrok.core.scores import device_of, evaluating
from ungrok.core.seeds import derive, seeded

Role = Literal["forget", "retain", "validation"]

State = TypeVar("State", default=Any)
"""What a method keeps from one hook to the next, of a type of its own."""


@dataclass
class ReferencePasses:
    """Values that a frozen model gave for examples, kept on the CPU.

    Args:
        values: By the name of the values and the index of the example.
        size: Their size in bytes.

    """

    values: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    size: int = 0


@dataclass
class Material(Generic[State]):
    """What a method works with: its own copy of the model, and the caller's iterables in the caller's order.

    Args:
        model: The live model.
        original: The model handed in, which nothing changes.
        forget: The caller's batches to forget.
        retain: The caller's batches to keep; empty where none were given.
        validation: The caller's held-out batches; empty where none were given.
        objective: How a batch becomes logits and losses.
        factory: Returns a freshly initialized model of the same shape.
        base: The model before it saw the data.
        seed: The only source of randomness.

    """

    model: nn.Module
    original: nn.Module
    forget: Batches
    retain: Batches
    validation: Batches
    objective: Objective
    factory: Callable[[], nn.Module] | None
    base: nn.Module | None
    seed: int
    state: State = field(init=False, repr=False)
    """What the method's ``begin`` returned; not there before."""
    passes: ReferencePasses = field(default_factory=ReferencePasses)
    inspected: set[str] = field(default_factory=set)
    """Sets of which a whole pass has been checked."""
    shapes: dict[str, torch.Size] = field(default_factory=dict)
    """Shape of the logits on the first batch of each set."""
    seen: dict[str, set[int]] = field(default_factory=dict)
    """Identities of the examples read so far, by set."""

    def batches(self, name: Role) -> Iterator[Batch]:
        """Yield one pass over a set, on the model's device; the first pass checks what it reads.

        Raises:
            RecipeError: If the pass holds no batches (the set is empty, or can be iterated only once), if a batch cannot be
                learned from, or if an example is known to be both in forget and in retain.

        """
        device, empty = device_of(self.model), True
        for raw in getattr(self, name):
            empty = False
            batch = self.objective.move(raw, device)
            if name not in self.inspected:
                self._inspect(name, batch)
            yield batch
        if empty:
            raise RecipeError(f"{name}: holds no batches, or none when iterated again; give a list or a DataLoader")
        self.inspected.add(name)

    def _inspect(self, name: Role, batch: Batch) -> None:
        try:
            if name not in self.shapes:
                self.shapes[name] = self.teacher(batch).shape
            self.objective.check(batch, self.shapes[name])
        except UngrokError as error:
            raise RecipeError(f"{name}: {error}") from None
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise RecipeError(f"{name}: the model does not take these batches ({error})") from None
        index, other = self.objective.index(batch), {"forget": "retain", "retain": "forget"}.get(name)
        if index is not None and other:
            self.seen.setdefault(name, set()).update(index.tolist())
            _check_disjoint(self.seen[name], self.seen.get(other, set()))

    def endless(self, name: Role) -> Iterator[Batch]:
        """Yield passes over a set, one after another, without end."""
        while True:
            yield from self.batches(name)

    def generator(self, name: str) -> torch.Generator:
        """Return a CPU generator for a named draw of this path."""
        return torch.Generator().manual_seed(derive(self.seed, name))

    @property
    def classes(self) -> int:
        """The number of logits; known once a batch has been read."""
        return int(next(iter(self.shapes.values()))[-1])

    def teacher(self, batch: Batch) -> Tensor:
        """Return the original model's logits on a batch, in eval mode and without gradient."""
        with torch.no_grad(), evaluating(self.original):
            return self.objective.logits(self.original, batch)

    @torch.no_grad()
    def renew(self, module: nn.Module, fresh: nn.Module) -> None:
        """Copy a fresh module's buffers and parameters into one of the live model's; frozen parameters stay."""
        mine, new = module.state_dict(keep_vars=True), fresh.state_dict()
        for name, value in mine.items():
            if value.requires_grad or not isinstance(value, nn.Parameter):
                value.copy_(new[name])

    def fresh(self) -> nn.Module:
        """Return a freshly initialized model on the model's device; its weights depend on the seed alone."""
        assert self.factory is not None
        with seeded(self.seed):
            return self.factory().to(device_of(self.model))

    def mean_loss(self, batch: Batch) -> Tensor:
        """Return the objective's own mean loss of the live model over a batch."""
        return self.objective.mean(self.objective.losses(self.objective.logits(self.model, batch), batch), batch)


def check_batches(role: str, batches: Batches | None) -> None:
    """Raise RecipeError if a set is known, without reading it, to be empty or to serve one pass only."""
    if batches is None:
        return
    # Neither check may iterate: the first pass is the method's.
    if isinstance(batches, Iterator):
        raise RecipeError(f"{role}: an iterator can be used only once; give a list or a DataLoader")
    if _size(batches) == 0:
        raise RecipeError(f"{role}: holds no batches")


def check_overlap(forget: Batches, retain: Batches | None, objective: Objective) -> None:
    """Raise RecipeError if the sets are known, without reading data, to share an example."""
    if forget is retain:
        raise RecipeError("forget and retain are the same object")
    ours, theirs = _identities(forget, objective), _identities(retain, objective)
    if ours and theirs and ours[0] == theirs[0]:
        _check_disjoint(ours[1], theirs[1])


def _identities(batches: Batches | None, objective: Objective) -> tuple[int, set[int]] | None:
    """Return whose examples a set holds, and which, where that can be known without reading data."""
    subset = getattr(batches, "dataset", None)
    if isinstance(subset, Subset):
        return id(subset.dataset), set(subset.indices)
    if isinstance(batches, list | tuple):
        indices = [objective.index(batch) for batch in batches]
        if all(index is not None for index in indices):
            return 0, {i for index in indices for i in index.tolist()}  # type: ignore[union-attr]
    return None


def _check_disjoint(forget: set[int], retain: set[int]) -> None:
    shared = forget & retain
    if shared:
        raise RecipeError(f"forget and retain share {len(shared)} examples, for instance index {min(shared)}")


def _size(batches: Batches) -> int | None:
    try:
        return len(batches)  # type: ignore[arg-type]
    except TypeError:  # a DataLoader over an unsized data set has a len, but it fails
        return None


def length(batches: Batches) -> int:
    """Return the number of batches in one pass, by counting where there is no ``len``."""
    size = _size(batches)
    return sum(1 for _ in batches) if size is None else size
