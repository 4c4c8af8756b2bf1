"""A problem's data: disjoint train, validation and test splits, label corruption included."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, get_args

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Batches, Classification, Family, Loss, Objective
from ungrok.core.registry import Registry
from ungrok.core.schema import Schema, explain
from ungrok.core.scores import Scores
from ungrok.core.seeds import generator
from ungrok.data.augment import Augment
from ungrok.data.pixels import Scale
from ungrok.data.stored import Index, Stored

CACHED, LEAST = 6 * 2**20, 256
"""Bytes of inputs that a pass without gradients takes at once on a CPU, whose caches hold little more; but no fewer examples than these."""

PREPARED = 2**26
"""Bytes of inputs that may be kept in the form in which a model takes them."""

if TYPE_CHECKING:
    from ungrok.data.answers import AnswerData
    from ungrok.data.exposed import Exposed
    from ungrok.data.forget import ForgetSplit


@dataclass(frozen=True)
class Split:
    """Examples of one split.

    Models take what :meth:`batch` and :class:`ungrok.data.TensorBatches` give; ``inputs`` may be kept in another form.

    Args:
        inputs: Shape (n, ...): what a model takes, or pixels, uint8 of shape (n, channels, height, width); pixels may
            lie on disk.
        targets: int64 of shape (n,).
        scale: Turns pixels into what a model takes; None where ``inputs`` is that already.

    """

    inputs: Tensor | Stored
    targets: Tensor
    scale: Scale | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.inputs.shape[1:])

    def of(self, index: Index) -> Split:
        """Return the examples that ``index`` selects."""
        inputs = self.inputs.of(index) if isinstance(self.inputs, Stored) else self.inputs[index]
        return replace(self, inputs=inputs, targets=self.targets[index])

    def to(self, device: torch.device) -> Split:
        """Return the split on ``device``; pixels that do not fit there stay on disk and are streamed to it."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))

    def batch(self, index: Index) -> Any:
        """Return the examples that ``index`` selects as a batch of the objective: inputs as a model takes them, and targets."""
        inputs = self.inputs[index] if isinstance(self.inputs, Stored) else _take(self.inputs, index)
        return self.ready(inputs), _take(self.targets, index)

    def batches(self, order: Tensor | None, parts: Sequence[slice]) -> Iterator[Any]:
        """Yield batches of the objective, part after part; arguments are those of :meth:`read`."""
        for inputs, targets in self.read(order, parts):
            yield self.ready(inputs), targets

    def read(self, order: Tensor | None, parts: Sequence[slice]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs as they are kept (see :meth:`ready`) and targets, part after part, on the split's device.

        Args:
            order: int64 of shape (n,) on the CPU; None for the order of the split.
            parts: Ranges of places in that order, one per batch.

        """
        chosen = None if order is None else order.to(self.targets.device)
        if isinstance(self.inputs, Stored):
            batches = self.inputs.read(part if order is None else order[part] for part in parts)
            for part, inputs in zip(parts, batches, strict=True):
                yield inputs, _take(self.targets, part if chosen is None else chosen[part])
            return
        for part in parts:
            index = part if chosen is None else chosen[part]
            yield _take(self.inputs, index), _take(self.targets, index)

    def ready(self, inputs: Tensor) -> Tensor:
        """Return kept inputs as a model takes them."""
        return inputs if self.scale is None else self.scale(inputs)

    def evaluation(self, batch_size: int) -> Batches:
        """Return one pass over the split, for evaluation: nothing is shuffled or augmented.

        Args:
            batch_size: Examples per batch, where the split does not have a size of its own.

        """
        return self.batches(None, [slice(at, at + batch_size) for at in range(0, len(self), batch_size)])

    def score(
        self,
        model: nn.Module,
        objective: Objective,
        batch_size: int,
        *,
        keep_logits: bool = True,
        on_losses: Callable[[Tensor], None] | None = None,
    ) -> Scores:
        """Return a model's scores in the order of the split, those of no examples where it is empty.

        Args:
            model: On the device of the split.
            objective: See :meth:`ungrok.core.objective.Objective.score`, also for the other arguments.
            batch_size: As for :meth:`evaluation`; on a CPU batches are smaller where large ones would leave its caches, since no score
                depends on the other examples of its batch.
            keep_logits: Whether scores of classes hold the logits.
            on_losses: Called with each batch's losses and their graph.

        """
        if len(self) == 0:
            return objective.scores_type.empty()
        if on_losses is None:  # a gradient is a sum over batches, and its last bits depend on them
            batch_size = min(batch_size, self._at_once())
        return objective.score(model, self.evaluation(batch_size), keep_logits=keep_logits, on_losses=on_losses)

    def _at_once(self) -> int:
        """Return the size of batches that a CPU's caches hold, all about equal: a small last one would be calculated in another way."""
        if self.targets.device.type != "cpu":
            return len(self)
        room = max(LEAST, CACHED // max(1, self._bytes(1)))
        return math.ceil(len(self) / math.ceil(len(self) / room))

    def _bytes(self, count: int) -> int:
        """Return the bytes of the inputs of some examples as a model takes them."""
        return 4 * count * math.prod(self.shape)

    def prepared(self, *, channels_last: bool = False) -> Split:
        """Return the split with inputs as a model takes them, for many passes; as it is where these would take much memory.

        Args:
            channels_last: Lay images out as convolutions with such kernels would do in each pass.

        """
        if self.scale is None or self._bytes(len(self)) > PREPARED:
            return self
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return replace(self, inputs=self.ready(self.inputs[slice(None)]).contiguous(memory_format=layout), scale=None)


def _take(tensor: Tensor, index: Index) -> Tensor:
    """Select along the first dimension; index_select copies whole examples, where indexing by a tensor copies single elements."""
    if isinstance(index, Tensor) and index.dtype == torch.int64 and index.ndim == 1 and index.device == tensor.device:
        return tensor.index_select(0, index)
    return tensor[index]


class Method(Protocol):
    """What data need to know of an unlearning method; see :class:`ungrok.methods.Unlearner`."""

    inputs: ClassVar[tuple[str, ...]]
    other: ClassVar[str | None]

    @property
    def kind(self) -> str:
        """The method's name."""


@dataclass(frozen=True)
class Data:
    """The splits of a problem, and what depends on the kind of data.

    Args:
        train: What the model is trained on, corrupted labels included.
        validation: Chooses stages and transitions; disjoint from ``train`` and ``test``.
        test: Only ever reported.
        classes: Number of classes.
        mislabeled: int64 indices into ``train`` of the examples whose label was corrupted.
        augment: What is done to training batches; never to any other.
        exposed: Which training examples are shown early and which late, where a training staggers them.
        ranked: Numbers that shadow models give every training example, float64 of shape (n,), by kind of forget rule.

    """

    family: ClassVar[Family] = "classifier"
    losses: ClassVar[tuple[str, ...]] = get_args(Loss)
    """Names of the training losses that fit."""
    gradient_norm: ClassVar[bool] = True
    """Whether a trajectory records the gradient of the training loss, which costs a backward pass over all of it."""
    timed_in_part: ClassVar[bool] = False
    """Whether scoring all splits is so slow that an estimate of its time scores a few examples instead."""
    followed: ClassVar[tuple[Literal["train", "validation"], ...]] = ()
    """Splits of which a trajectory records the loss of every example."""

    train: Split
    validation: Split
    test: Split
    classes: int
    mislabeled: Tensor
    augment: Augment | None = None
    exposed: Exposed | None = None
    ranked: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Number of logits of a model."""
        return self.classes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.train.shape

    @property
    def score_bytes(self) -> int:
        """Bytes that the scores of one example hold at one place of a path, where they grow with the number of outputs; else 0."""
        return 4 * self.outputs + 12

    def fits(self, shape: Sequence[int], rows: int) -> bool:
        """Return whether a model's output has the right shape.

        Args:
            shape: Of the output.
            rows: Predictions asked for.

        """
        return tuple(shape) == (rows, self.outputs)

    def objective(self, loss: str, precision: Literal["float32", "float64"] = "float32") -> Objective:
        """Return the objective that a loss names.

        Args:
            loss: One of :attr:`losses`.
            precision: As for :class:`ungrok.core.objective.Classification`.

        Raises:
            RecipeError: If the loss does not fit these data.

        """
        self._check_loss(loss)
        return Classification(loss, precision)  # type: ignore[arg-type]

    def _check_loss(self, loss: str) -> None:
        if loss not in self.losses:
            allowed = ", ".join(self.losses)
            raise RecipeError(f"trajectory.loss: {loss!r} does not fit this problem; allowed: {allowed}")

    def base_part(self) -> Self:
        """Return the data with the base model's training data in the place of ``train``.

        Raises:
            NotApplicable: If there is no such part.

        """
        raise NotApplicable("these data have no part for a base model")

    def without(self, split: ForgetSplit) -> Self:
        """Return the data without the forget examples of a split: what an oracle is trained on."""
        return replace(self, train=self.train.of(split.retain), exposed=None)

    def forget_part(self, split: ForgetSplit, method: Method) -> Split:  # noqa: ARG002
        """Return the forget examples of a split as a method needs them."""
        return self.train.of(split.forget)

    def score(self, model: nn.Module, objective: Objective, batch_size: int) -> dict[str, Scores]:
        """Return a model's scores on ``train``, ``validation`` and ``test``; arguments are those of :meth:`Split.score`."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split.score(model, objective, batch_size) for name, split in splits.items()}

    def check_method(self, method: Method, problem: str) -> None:
        """Raise RecipeError if a method does not run on these data.

        Args:
            method: An unlearning method.
            problem: What the data are called in the message.

        """
        if self.family not in method.inputs:
            kinds = " and ".join(method.inputs)
            raise RecipeError(f"unlearn: {method.kind!r} runs on {kinds} models only; problem {problem!r} has none")

    def alone(self) -> Tensor:
        """Return which training examples can be forgotten without forgetting others, bool of shape (n,)."""
        return torch.ones(len(self.train), dtype=torch.bool)

    def check_forget(self, forget: Tensor, label: str) -> None:
        """Raise NotApplicable where examples cannot be forgotten without forgetting others."""

    def pairs(self) -> AnswerData:
        """Return the data as question-answer pairs, for what applies to text only.

        Raises:
            NotApplicable: If the data are something else.

        """
        raise NotApplicable("needs question-answer pairs, which this problem does not have")

    def to(self, device: torch.device) -> Data:
        """Return the data on ``device``; index tensors stay on the CPU."""
        return replace(
            self, train=self.train.to(device), validation=self.validation.to(device), test=self.test.to(device)
        )


class Problem(Schema):
    """Where the data come from and how they are split.

    The split and the corruption depend on ``data_seed`` alone, so every seed of a study sees the same data unless the recipe
    says ``data_seed: per_seed``.
    """

    family: ClassVar[Family] = "classifier"
    scores: ClassVar[Literal["class", "answer"]] = "class"
    """The kind of the scores of its models; see :class:`ungrok.core.scores.Scores`."""
    drawn: ClassVar[bool] = True
    """Whether ``data_seed`` draws the training examples, so that seeds of a study can each see others."""

    kind: str
    data_seed: int = Field(0, ge=0, description="seed of the split and of the label corruption")
    label_noise: float = Field(0.0, ge=0, lt=1, description="share of training labels replaced by another class")

    @abstractmethod
    def splits(self) -> tuple[Split, Split, Split, int]:
        """Return clean train, validation and test splits and the number of classes."""

    def augmentation(self) -> Augment | None:
        """Return what is done to training batches."""
        return None

    def warnings(self) -> list[str]:
        """Return what a reader of the report must know of the data."""
        return []

    def pool(self) -> tuple[Self, int]:
        """Return the problem with twice as many training examples, of which its own come first, and the number of its own.

        Shadow models are trained on random halves of these.

        Raises:
            NotApplicable: If the data cannot be drawn so.

        """
        raise NotApplicable(f"problem {self.kind!r} has no further training examples to draw from")

    def _with(self, **changes: float) -> Self:
        """Return the problem with other settings.

        Raises:
            NotApplicable: If they are not allowed.

        """
        try:
            return self.model_validate(self.to_dict() | changes)
        except ValidationError as error:
            raise NotApplicable(f"problem.{explain(error, changes)}") from None

    def pinned(self) -> Self:
        """Return the problem with all that its data depend on filled in, such as hashes of files; job keys are made from this."""
        return self

    def load(self) -> Data:
        """Return the splits, with labels corrupted as the recipe says.

        Raises:
            RecipeError: If the data set does not hold as many examples as asked for.

        """
        train, validation, test, classes = self.splits()
        chosen = torch.zeros(0, dtype=torch.int64)
        if self.label_noise > 0:
            draw = generator(self.data_seed, "label noise")
            count = round(self.label_noise * len(train))
            chosen = torch.randperm(len(train), generator=draw)[:count].sort().values
            shift = torch.randint(1, classes, (count,), generator=draw)
            targets = train.targets.clone()
            targets[chosen] = (targets[chosen] + shift) % classes
            train = replace(train, targets=targets)
        return Data(train, validation, test, classes, chosen, self.augmentation())


PROBLEMS: Registry[Problem] = Registry("problem", "ungrok.problems", ("ungrok.data", "PROBLEMS.register"), Problem)
