"""The contract of every unlearning method, and the two shapes that most of them have."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ungrok.core.accountant import Promise
from ungrok.core.entrance import check_base, check_lists, check_model, check_objective, check_seed
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.gradients import trainable
from ungrok.core.modules import bare, duplicate
from ungrok.core.objective import Batch, Batches, Objective, backward, part_losses
from ungrok.core.optimizers import TORCH_OPTIMIZERS
from ungrok.core.precision import Masters
from ungrok.core.registry import Registry
from ungrok.core.schema import Explained, Schema
from ungrok.core.scores import evaluating
from ungrok.core.seeds import PrivateRandomState, derive, seeded
from ungrok.core.sets import check_batches, check_overlap, counted, draws_from_torch
from ungrok.methods.material import Material, Rewound, Role
from ungrok.methods.path import Step, UnlearningPath

Family = Literal["ascent", "relabeling", "distillation", "preference", "retain", "one-shot", "other"]
"""What a method does to the forget data: raise their loss; teach them other labels or answers; teach them a model's predictions; make
them the losing side of a preference; leave them alone and train on the rest; one jump; anything else."""


class Unlearner(Schema, metaclass=Explained):
    """An unlearning algorithm with its hyper-parameters.

    Making one raises RecipeError if a setting is not known, or its value not allowed.
    :meth:`path` is a generator that yields after every update (iterative methods) or strength (one-shot methods). The
    model handed in is never changed, the caller's random state never moves, and all randomness comes from ``seed``.
    """

    needs: ClassVar[tuple[str, ...]] = ("retain",)
    """Optional inputs the method cannot do without: retain, validation, factory, base, rewound."""
    inputs: ClassVar[tuple[str, ...]] = ("classifier", "language")
    """Families of models the method runs on."""
    other: ClassVar[str | None] = None
    """Other answers that forget batches must carry, for methods of language models that need them."""

    reads: ClassVar[tuple[Role, ...]] = ("forget", "retain")
    """Sets whose content the method looks at."""
    joins: ClassVar[bool] = False
    """Whether a forget and a retain batch pass the model as one."""
    from_scratch: ClassVar[bool] = False
    """Whether the path starts from fresh weights, in whole or in part, so that its first places have forgotten everything."""

    self_stopping: ClassVar[bool] = False
    """Whether it decides by itself where to stop, so that it is judged at the end of its path."""

    from_any_start: ClassVar[bool] = False
    """Whether the base model that it needs may be a fresh one, from which every training of a classifier starts."""

    family: ClassVar[Family] = "other"
    """The methods with which it is counted as one setting where studies are compared."""

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

    def trainable(self, model: nn.Module) -> list[nn.Parameter]:
        """Return the parameters that the method may move."""
        return list(trainable(model).values())

    def promise(self, updates: int) -> Promise | None:  # noqa: ARG002
        """Return what a path of that many updates certifies; None for a method that certifies nothing."""
        return None

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
        rewound: Rewound | None = None,
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
            rewound: Goes back along the training that gave the model; see :data:`ungrok.methods.material.Rewound`.
            seed: The only source of randomness.

        Raises:
            RecipeError: If an input that the method needs is missing or empty, or can be iterated only once; if forget and
                retain share an example, where both are subsets of one data set or lists of batches with an index.
            NotApplicable: If the method does not apply to this model.

        """
        check_model("model", model)
        check_objective(objective)
        check_seed(seed)
        self._check_model(model, objective)
        given = {"retain": retain, "validation": validation, "factory": factory, "base": base, "rewound": rewound}
        for need in self.needs:
            if given[need] is None:
                raise RecipeError(f"{self.kind} needs {need}=, which was not given")
        if "base" in self.needs:
            check_base(base, model)
        with seeded(seed):  # a DataLoader draws from the global random state whenever it is iterated
            for role, batches in {"forget": forget, "retain": retain, "validation": validation}.items():
                check_batches(role, batches)
            check_overlap(forget, retain, objective)
            whole, own = duplicate(model), derive(seed, self.kind)
            sets = (counted(forget), counted(retain), counted(validation))
            material: Material = Material(bare(whole), bare(model), *sets, objective, factory, base, own, rewound)
            self._inspect(material)
            self.check(material)
            if not self.trainable(material.model):
                raise NotApplicable(f"{self.kind}: every parameter that it would move is frozen")
            wrapped = None if whole is material.model else whole
            return UnlearningPath(self.steps(material), self.budget(material), wrapped)

    def _check_model(self, model: nn.Module, objective: Objective) -> None:
        """Raise NotApplicable where the model's gradients cannot be taken, or the method runs on other models."""
        if torch.is_inference_mode_enabled():
            raise NotApplicable(f"{self.kind} needs gradients, which torch.inference_mode() leaves out")
        if objective.family not in self.inputs:
            families = " and ".join(self.inputs)
            raise NotApplicable(f"{self.kind} runs on {families} models only, not on a {objective.family} model")
        if not trainable(model):
            raise NotApplicable(f"{self.kind}: every parameter of the model is frozen")
        for name, module in model.named_modules():
            if getattr(module, "sparse", None) is True:
                raise NotApplicable(
                    f"{self.kind}: the gradients of {name or 'the model'} are sparse; set its attribute sparse to False"
                )

    def _inspect(self, material: Material) -> None:
        """Raise RecipeError for what is known of sets and factory before anything has been read from a loader."""
        held: dict[str, Batches] = {role: getattr(material, role) for role in self.reads}
        check_lists(material.objective, material.original, held)
        if "factory" in self.needs:
            material.made = material.fresh()
        if isinstance(self, Iterative):
            alone = () if self.joins else self.reads
            material.check_normalization(alone, self.set_mode, getattr(self, "micro_batch", None))


UNLEARNERS: Registry[Unlearner] = Registry(
    "unlearner", "ungrok.unlearners", ("ungrok.methods", "UNLEARNERS.register"), Unlearner
)


class Iterative(Unlearner):
    """A method that makes optimizer updates, one loss each; frozen parameters stay frozen.

    Parameters of few bits are float32 while they are updated, from :meth:`before_update` to :meth:`after_update`, and so are their
    gradients; what was rounded away is kept for the next update (:class:`~ungrok.core.precision.Masters`).

    An instance holds settings and never changes. What a method keeps along a path is the value that :meth:`begin` returns,
    of a type of the method's own: every other hook finds it as ``material.state`` and says so by the type of its argument,
    ``Material[State]``.
    """

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
            raise ValueError(f"epochs {self.epochs} and updates {self.updates}: give either epochs or updates")
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
        model, sets = material.model, (material.forget, material.retain, material.validation)
        random = PrivateRandomState(material.seed, torch_only=all(map(draws_from_torch, sets)))
        with random, torch.enable_grad():
            material.state = self.begin(material)
        parameters = [*self.trainable(model), *self.extra_parameters(material)]
        optimizer = TORCH_OPTIMIZERS[self.optimizer](parameters, self.lr, self.momentum, self.weight_decay)
        masters = Masters(parameters)
        with random:
            total = self.budget(material)
        losses = islice(self.losses(material, total), total)
        for update in range(1, total + 1):
            self.set_mode(model)
            with random, torch.enable_grad(), masters.gathered():
                optimizer.zero_grad(set_to_none=True)  # before the loss: taken in parts, it adds up gradients itself
                loss = next(losses)
                if loss.requires_grad:  # else it depends on no parameter, and every gradient is 0
                    loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = self.rate(material, update)
            with masters.widened():
                self.before_update(material, optimizer)
                optimizer.step()
                self.after_update(material, optimizer)
            yield Step(update, update, model, loss.detach())

    def rate(self, material: Material, update: int) -> float:  # noqa: ARG002
        """Return the learning rate of an update, counted from 1; called once its loss is known."""
        return self.lr

    def begin(self, material: Material) -> Any:
        """Prepare the model, and return the method's state; called once, before the first update."""

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
        raise ValueError(f"{value}: a strength stands more than once; allowed: different ones")
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

    family: ClassVar[Family] = "one-shot"

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
