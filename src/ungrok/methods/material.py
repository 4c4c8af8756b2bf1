"""What a method works with: a copy of the model, the caller's sets, and checks of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader
from typing_extensions import TypeVar

from ungrok.core.entrance import Entrance, enter, entering, made_by
from ungrok.core.errors import RecipeError
from ungrok.core.modules import duplicate
from ungrok.core.objective import Batch, Batches, Objective
from ungrok.core.scores import evaluating
from ungrok.core.seeds import derive, seeded
from ungrok.core.sets import size_of, sizes
from ungrok.methods.path import ONE, SINGLE

Role = Literal["forget", "retain", "validation"]

Rewound = Callable[[int], Iterator[nn.Module]]
"""Goes back along the training that gave the model: takes the number of updates, and gives the model of that many updates ago, then
the same again after each of as many updates of the training's own loop on the retain set. Its attribute ``updates``, if it has one,
says how many there have been in all."""

State = TypeVar("State", default=Any)
"""What a method keeps from one hook to the next, of a type of its own."""


@dataclass
class ReferencePasses:
    """Values that a frozen model gave for examples, kept on the CPU.

    Args:
        values: By the name of the values, and the index and content of the example.
        size: Their size in bytes.

    """

    values: dict[tuple[str, int, bytes], Tensor] = field(default_factory=dict)
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
        rewound: Goes back along the training that gave the model; see :data:`Rewound`.

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
    rewound: Rewound | None = None
    state: State = field(init=False, repr=False)
    """What the method's ``begin`` returned; not there before."""
    passes: ReferencePasses = field(default_factory=ReferencePasses)
    inspected: set[str] = field(default_factory=set)
    """Sets of which a whole pass has been checked."""
    made: nn.Module | None = None
    """A fresh model that no one has taken yet."""
    entrance: Entrance = field(init=False, repr=False)
    """Checks what is read."""

    def __post_init__(self) -> None:
        self.entrance = Entrance(self.objective)

    def batches(self, name: Role) -> Iterator[Batch]:
        """Yield one pass over a set, on the model's device; the first pass checks what it reads.

        Raises:
            RecipeError: If the pass holds no batches (the set is empty, or can be iterated only once), if a batch cannot be
                learned from, or if an example is known to be both in forget and in retain.

        """
        empty = True
        for batch in self.formed(name):
            empty = False
            if name not in self.inspected:
                self.entrance.inspect(name, batch, self.teacher)
            yield batch
        if empty:
            raise RecipeError(f"{name}: holds no batches, or none when iterated again; give a list or a DataLoader")
        self.inspected.add(name)

    def formed(self, name: Role) -> Iterator[Batch]:
        """Yield one pass over a set like :meth:`batches`, unchecked, so that no model runs."""
        for raw in getattr(self, name):
            with entering(name):
                batch = enter(self.objective, self.original, raw)
            yield batch

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
        return int(next(iter(self.entrance.shapes.values()))[-1])

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
        """Return a freshly initialized model on the model's device; its weights depend on the seed alone.

        Raises:
            RecipeError: If the factory gives the model itself, or one with other weights and buffers.

        """
        if self.made is not None:
            made, self.made = self.made, None
            return made
        assert self.factory is not None
        with seeded(self.seed):
            return made_by(self.factory, self.original)

    def mean_loss(self, batch: Batch) -> Tensor:
        """Return the objective's own mean loss of the live model over a batch."""
        return self.objective.mean(self.objective.losses(self.objective.logits(self.model, batch), batch), batch)

    def check_normalization(self, roles: tuple[Role, ...], mode: Callable[[nn.Module], None], part: int | None) -> None:
        """Raise RecipeError if batch normalization is known to come to one example, of which it takes no variance.

        Args:
            roles: Sets on whose batches the live model is trained, each by itself.
            mode: Puts a model into the mode in which it is trained.
            part: Examples per forward pass; None for whole batches.

        """
        if not any(isinstance(module, _BatchNorm) for module in self.model.modules()):
            return
        for role in roles:
            counts = sizes(getattr(self, role), lambda raw: self.objective.size(enter(self.objective, self.model, raw)))
            for place, count in enumerate(counts or (), start=1):
                if count == 1 or part == 1 or (part and count % part == 1):
                    self._try_one(role, mode, f"batch {place}" if count == 1 else f"a part of batch {place}")
                    break

    def _try_one(self, role: Role, mode: Callable[[nn.Module], None], which: str) -> None:
        batches, trial = getattr(self, role), duplicate(self.model)
        mode(trial)
        raw = batches.collate_fn([batches.dataset[0]]) if isinstance(batches, DataLoader) else batches[0]
        with entering(role):
            one = next(iter(self.objective.split(enter(self.objective, trial, raw), 1)))
            try:
                self.objective.logits(trial, one)
            except ValueError as error:
                raise RecipeError(SINGLE.format(which=which) if ONE in str(error) else str(error)) from None


def length(batches: Batches) -> int:
    """Return the number of batches in one pass, by counting where there is no ``len``."""
    size = size_of(batches)
    return sum(1 for _ in batches) if size is None else size
