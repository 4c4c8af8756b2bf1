"""The contract of every unlearning method, and the two shapes that most of them have."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Subset

from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import NotApplicable, RecipeError, UngrokError
from ungrok.core.objective import Batch, Batches, Objective, backward, part_losses
from ungrok.core.registry import Registry
from ungrok.core.schema import Schema
from ungrok.core.scores import device_of, evaluating
from ungrok.core.seeds import PrivateRandomState, derive, seeded

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda p, lr, momentum, wd: torch.optim.SGD(p, lr, momentum=momentum, weight_decay=wd),
    "adam": lambda p, lr, _, wd: torch.optim.Adam(p, lr, weight_decay=wd),
    "adamw": lambda p, lr, _, wd: torch.optim.AdamW(p, lr, weight_decay=wd),
}


Role = Literal["forget", "retain", "validation"]


@dataclass(frozen=True)
class Step:
    """One place on an unlearning path.

    Args:
        updates: Optimizer updates made so far; 0 all along the path of a one-shot method.
        dose: How far along the path this is: ``updates``, or the strength of a one-shot method.
        model: The live model, in whatever mode the caller leaves it; valid until the path is resumed.
        loss_tensor: The loss that the last update minimized, a detached scalar, or None.

    """

    updates: int
    dose: float
    model: nn.Module
    loss_tensor: Tensor | None = None

    @property
    def loss(self) -> float | None:
        """The loss that the last update minimized; reading it waits for the device."""
        return None if self.loss_tensor is None else self.loss_tensor.item()

    def snapshot(self) -> nn.Module:
        """Return a copy of the model that later updates do not touch."""
        return copy.deepcopy(self.model)


@dataclass(frozen=True)
class Material:
    """What a method works with: its own copy of the model, and the caller's iterables in the caller's order."""

    model: nn.Module
    original: nn.Module
    forget: Batches
    retain: Batches
    validation: Batches
    objective: Objective
    factory: Callable[[], nn.Module] | None
    base: nn.Module | None
    seed: int
    memory: dict[str, Any] = field(default_factory=dict)
    """What a method keeps between its hooks."""
    inspected: set[str] = field(default_factory=set)
    shapes: dict[str, torch.Size] = field(default_factory=dict)
    seen: dict[str, set[int]] = field(default_factory=dict)

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
            _disjoint(self.seen[name], self.seen.get(other, set()))

    def endless(self, name: Role) -> Iterator[Batch]:
        """Yield passes over a set, one after another, without end."""
        while True:
            yield from self.batches(name)

    def to_device(self, batch: Batch) -> Batch:
        """Return a batch on the model's device."""
        return self.objective.move(batch, device_of(self.model))

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
        """Return a freshly initialized model on the model's device; what it is depends on the seed alone."""
        assert self.factory is not None
        with seeded(self.seed):
            return self.factory().to(device_of(self.model))

    def mean_loss(self, batch: Batch) -> Tensor:
        """Return the objective's own mean loss of the live model over a batch."""
        return self.objective.mean(self.objective.losses(self.objective.logits(self.model, batch), batch), batch)


class Unlearner(Schema):
    """An unlearning algorithm with its hyper-parameters.

    :meth:`path` is a generator that yields after every update (iterative methods) or strength (one-shot methods). The
    model handed in is never changed, the caller's random state never moves, and all randomness comes from ``seed``.
    """

    needs: ClassVar[tuple[str, ...]] = ("retain",)
    """Optional inputs the method cannot do without: retain, validation, factory, base."""
    inputs: ClassVar[tuple[str, ...]] = ("classifier", "language")
    """Kinds of models the method runs on."""
    other: ClassVar[str | None] = None
    """Other answers that forget batches must carry, for methods of language models that need them."""

    from_scratch: ClassVar[bool] = False
    """Whether the path starts from fresh weights, in whole or in part, so that its first places have forgotten everything."""

    kind: str
    name: str | None = Field(None, description="label in tables; the kind when null")

    @property
    def label(self) -> str:
        """The name shown in tables."""
        return self.name or self.kind

    @abstractmethod
    def budget(self, material: Material) -> float:
        """Return the dose at which the path ends."""

    @abstractmethod
    def steps(self, material: Material) -> Iterator[Step]:
        """Yield the path; called once all inputs have been checked."""

    def check(self, material: Material) -> None:
        """Raise NotApplicable where the method does not apply; called before any work."""

    def path(
        self,
        model: nn.Module,
        forget: Batches,
        retain: Batches | None,
        objective: Objective,
        *,
        validation: Batches | None = None,
        factory: Callable[[], nn.Module] | None = None,
        base: nn.Module | None = None,
        seed: int = 0,
    ) -> UnlearningPath:
        """Return the path that leaves ``model``; its ``budget`` is the dose at which it ends.

        Args:
            model: Where the path starts; not changed.
            forget: Re-iterable of batches to forget, on any device.
            retain: Re-iterable of batches to keep.
            objective: How a batch becomes logits and losses.
            validation: Re-iterable of held-out batches.
            factory: Returns a freshly initialized model of the same shape.
            base: The model before it saw the data.
            seed: The only source of randomness.

        Raises:
            RecipeError: If an input that the method needs is missing or empty, or can be iterated only once; if forget and
                retain share an example, where both are subsets of one data set or lists of batches with an index.
            NotApplicable: If the method does not apply to this model.

        """
        kind = "language" if isinstance(objective, CausalLM) else "classifier"
        if kind not in self.inputs:
            raise NotApplicable(f"{self.kind} runs on {' and '.join(self.inputs)} models only, not on a {kind} model")
        given = {"retain": retain, "validation": validation, "factory": factory, "base": base}
        for need in self.needs:
            if given[need] is None:
                raise RecipeError(f"{self.kind} needs {need}=, which was not given")
        if not any(p.requires_grad for p in model.parameters()):
            raise NotApplicable(f"{self.kind}: every parameter of the model is frozen")
        with seeded(seed):  # a DataLoader draws from the global random state whenever it is iterated
            for role, batches in {"forget": forget, "retain": retain, "validation": validation}.items():
                _check(role, batches)
            _check_overlap(forget, retain, objective)
            work, own = copy.deepcopy(model), derive(seed, self.kind)
            material = Material(work, model, forget, retain or (), validation or (), objective, factory, base, own)
            self.check(material)
            return UnlearningPath(self.steps(material), self.budget(material))


class UnlearningPath(Iterator[Step]):
    """An iterator over the steps of one path.

    Args:
        steps: The generator behind it.
        budget: The dose at which the path ends, known before it starts.

    """

    def __init__(self, steps: Iterator[Step], budget: float) -> None:
        self._steps = steps
        self.budget = budget

    def __next__(self) -> Step:
        return next(self._steps)


UNLEARNERS: Registry[Unlearner] = Registry("unlearner", "ungrok.unlearners", ("ungrok.methods", "UNLEARNERS.register"))


def _check(role: str, batches: Batches | None) -> None:
    if batches is None:
        return
    # Neither check may iterate: the first pass is the method's.
    if isinstance(batches, Iterator):
        raise RecipeError(f"{role}: an iterator can be used only once; give a list or a DataLoader")
    if _size(batches) == 0:
        raise RecipeError(f"{role}: holds no batches")


def _check_overlap(forget: Batches, retain: Batches | None, objective: Objective) -> None:
    if forget is retain:
        raise RecipeError("forget and retain are the same object")
    identities = [_identities(batches, objective) for batches in (forget, retain)]
    if None not in identities and identities[0][0] == identities[1][0]:  # type: ignore[index]
        _disjoint(identities[0][1], identities[1][1])  # type: ignore[index]


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


def _disjoint(forget: set[int], retain: set[int]) -> None:
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


class Iterative(Unlearner):
    """A method that makes optimizer updates, one loss each; frozen parameters stay frozen."""

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(1e-2, gt=0, description="learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD; other optimizers ignore it")
    weight_decay: float = Field(5e-4, ge=0, description="added to the gradient (decoupled for adamw)")
    epochs: int | None = Field(None, ge=1, description="length of the path in passes; give this or updates")
    updates: int | None = Field(None, ge=1, description="length of the path in updates")
    batchnorm: Literal["train", "eval"] = "train"

    @model_validator(mode="after")
    def _one_length(self) -> Any:
        if self.epochs is not None and self.updates is not None:
            raise ValueError("give either epochs or updates")
        return self

    default_epochs: ClassVar[int] = 5

    @abstractmethod
    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of updates in one pass."""

    @abstractmethod
    def losses(self, material: Material, total: int) -> Iterator[Tensor]:
        """Yield the loss of each update in turn, without end or up to ``total``."""

    def budget(self, material: Material) -> int:
        """Return the number of updates on the path."""
        return self.updates or (self.epochs or self.default_epochs) * self.updates_per_epoch(material)

    def steps(self, material: Material) -> Iterator[Step]:
        """Yield after every update."""
        model, random = material.model, PrivateRandomState(material.seed)
        with random, torch.enable_grad():
            self.begin(material)
        parameters = [*self.trainable(model), *self.extra_parameters(material)]
        optimizer = OPTIMIZERS[self.optimizer](parameters, self.lr, self.momentum, self.weight_decay)
        with random:
            total = self.budget(material)
        losses = islice(self.losses(material, total), total)
        for update in range(1, total + 1):
            self.set_mode(model)
            for group in optimizer.param_groups:
                group["lr"] = self.rate(material, update)
            with random, torch.enable_grad():
                optimizer.zero_grad(set_to_none=True)  # first: a loss taken in parts adds up its gradients on the way
                loss = next(losses)
                loss.backward()
            self.before_update(material, optimizer)
            optimizer.step()
            self.after_update(material, optimizer)
            yield Step(update, update, model, loss.detach())

    def rate(self, material: Material, update: int) -> float:  # noqa: ARG002
        """Return the learning rate of an update, counted from 1."""
        return self.lr

    def begin(self, material: Material) -> None:
        """Prepare the model or the method's memory; called once, before the first update."""

    def trainable(self, model: nn.Module) -> list[nn.Parameter]:
        """Return the parameters that the optimizer may move."""
        return [p for p in model.parameters() if p.requires_grad]

    def extra_parameters(self, material: Material) -> list[nn.Parameter]:  # noqa: ARG002
        """Return parameters that are trained along and belong to no model."""
        return []

    def before_update(self, material: Material, optimizer: torch.optim.Optimizer) -> None:
        """Change gradients or rates; called between the backward pass and the update."""

    def after_update(self, material: Material, optimizer: torch.optim.Optimizer) -> None:
        """Undo what the update must not have done."""

    def set_mode(self, model: nn.Module) -> None:
        """Put the model into training mode, batch normalization as ``batchnorm`` says."""
        model.train()
        if self.batchnorm == "eval":
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()


class InParts(Iterative):
    """A method whose loss is the objective's mean over one batch, which it may take in parts."""

    optional: ClassVar[frozenset[str]] = frozenset({"micro_batch"})
    micro_batch: int | None = Field(None, ge=1, description="examples per forward pass; all of a batch when null")

    def mean_loss(self, material: Material, batch: Batch, sign: float = 1.0) -> Tensor:
        """Return ``sign`` times the mean loss; taken in parts, its gradient has been added up already."""
        if self.micro_batch is None:
            return sign * material.mean_loss(batch)
        objective = material.objective
        terms = part_losses(lambda part: objective.logits(material.model, part), batch, objective, self.micro_batch)
        return backward(sign * term for term in terms).requires_grad_()


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) else value


def _distinct(value: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(value)) < len(value):
        raise ValueError(f"{value}: a strength stands more than once")
    return value


Strengths = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...],
    BeforeValidator(_several),
    Field(min_length=1),
    AfterValidator(_distinct),
]
"""One strength or several, each of which becomes a place on the path."""


class OneShot(Unlearner):
    """A method that makes one jump, whose strength is the dose; one random draw per seed, scaled along the doses."""

    @abstractmethod
    def doses(self) -> tuple[float, ...]:
        """Return the strengths in the order of the path, increasing."""

    @abstractmethod
    def prepare(self, material: Material) -> Callable[[float], None]:
        """Do all the work, the model in eval mode, and return what sets the model's weights to those at a dose."""

    def budget(self, material: Material) -> float:  # noqa: ARG002
        """Return the largest strength."""
        return self.doses()[-1]

    def steps(self, material: Material) -> Iterator[Step]:
        """Yield the model at each strength."""
        with seeded(material.seed), evaluating(material.model), torch.enable_grad():
            move = self.prepare(material)
        for dose in self.doses():
            with torch.no_grad():
                move(dose)
            yield Step(0, dose, material.model)
