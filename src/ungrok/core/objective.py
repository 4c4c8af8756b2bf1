"""How a batch becomes logits, per-example losses and per-example correctness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Literal, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ungrok.core.errors import RecipeError, unknown

Batch = Any
"""What an iterable of the user's yields: ``(inputs, targets)`` for classifiers, a dict for language models."""

Batches = Iterable[Batch]


Family = Literal["classifier", "language"]
"""What a model reads and answers; methods say which families they run on."""


class Objective(Protocol):
    """The contract between data, model and everything that takes a loss.

    A batch holds ``size(batch)`` examples. ``logits`` runs the model and gives one row per prediction: an example for
    classifiers, an answer token for language models; ``predictions`` and ``targets`` have one value per row. ``losses``
    gives one loss per example and ``mean`` what training minimizes.
    """

    family: ClassVar[Family]

    def move(self, batch: Batch, device: torch.device) -> Batch:
        """Return the batch on ``device``."""

    def check(self, batch: Batch, shape: torch.Size) -> None:
        """Raise RecipeError if a batch cannot be learned from by a model whose logits have this shape, examples first."""

    def index(self, batch: Batch) -> Tensor | None:
        """Return the identities of the examples, shape (n,), int64, or None where the batch carries none."""

    def size(self, batch: Batch) -> int:
        """Return the number of examples."""

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the model's raw output for the batch."""

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return one loss per example, shape (n,)."""

    def mean(self, losses: Tensor, batch: Batch) -> Tensor:
        """Return the mean of the batch that training minimizes, from its ``losses``."""

    def weight(self, batch: Batch) -> Tensor:
        """Return the batch's weight in a mean over several batches: its number of predictions."""

    def split(self, batch: Batch, size: int) -> Iterator[Batch]:
        """Yield the batch in parts of at most ``size`` examples."""

    def join(self, *batches: Batch) -> Batch:
        """Return the examples of several batches as one batch."""

    def rows(self, output: Tensor, batch: Batch) -> Tensor:
        """Return what a layer gave for each prediction, shape (rows, ...), from its output, whose first dimension is examples."""

    def by_example(self, rows: Tensor, batch: Batch) -> Tensor:
        """Return one row per example, shape (n, ...): the mean over its predictions."""

    def classes(self, batch: Batch) -> Tensor | None:
        """Return the class of each example, shape (n,), int64, or None where the batch does not say."""

    def predictions(self, logits: Tensor) -> Tensor:
        """Return the predicted class per row, int64."""

    def targets(self, batch: Batch) -> Tensor:
        """Return what ``predictions`` should equal, int64."""

    def relabel(self, batch: Batch, targets: Tensor) -> Batch:
        """Return the same inputs with other targets."""


Loss = Literal["cross_entropy", "mse", "stablemax"]


def log_stable(x: Tensor) -> Tensor:
    """Return ``log s(x)`` with ``s(x) = x + 1`` for x ≥ 0 and ``1/(1 − x)`` below, elementwise."""
    return torch.where(x >= 0, x.clamp(min=0).log1p(), -(-x).clamp(min=0).log1p())


class Classification:
    """Single-label classification with cross-entropy, mean squared error on one-hot targets, or StableMax cross-entropy.

    Batches are ``(inputs, targets)`` with targets int64 of shape (n,), or ``(inputs, targets, index)`` with the identities
    of the examples; logits have shape (n, classes). The squared error of an example is averaged over classes, as
    ``torch.nn.MSELoss`` does. StableMax replaces exp by :func:`log_stable`'s s, which grows linearly and so does not absorb
    small logits: ``−log(s(z_y) / Σ s(z))`` (Prieto et al. 2025, arXiv 2501.04697).

    Args:
        loss: ``"cross_entropy"``, ``"mse"`` or ``"stablemax"``.
        precision: ``"float64"`` computes the loss from logits cast to float64, which moves the softmax-saturation
            floor from 1e-7 to 1e-16; ``"float32"`` leaves the logits as they are.

    """

    family: ClassVar[Family] = "classifier"

    def __init__(
        self,
        loss: Loss = "cross_entropy",
        precision: Literal["float32", "float64"] = "float32",
    ) -> None:
        if loss not in get_args(Loss):
            raise unknown("loss", loss, get_args(Loss))
        self.loss = loss
        self.precision = precision

    def move(self, batch: Batch, device: torch.device) -> Batch:
        """Return the batch on ``device``."""
        return tuple(part.to(device, non_blocking=True) for part in batch)

    def check(self, batch: Batch, shape: torch.Size) -> None:
        """Raise RecipeError unless inputs are finite, and targets are classes, one for each input."""
        inputs, targets = batch[:2]
        if targets.dtype != torch.int64 or targets.ndim != 1:
            raise RecipeError(
                f"targets are {targets.dtype} of shape {tuple(targets.shape)}; allowed: int64 of shape (n,)"
            )
        if len(inputs) != len(targets):
            raise RecipeError(f"a batch holds {len(inputs)} inputs but {len(targets)} targets")
        if len(shape) != 2:
            raise RecipeError(f"the model's output has shape {tuple(shape)}; allowed: (n, classes)")
        if inputs.is_floating_point() and not torch.isfinite(inputs).all():
            raise RecipeError("inputs hold NaN or infinity")
        if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < shape[1]:
            bad = int(targets.min()) if int(targets.min()) < 0 else int(targets.max())
            raise RecipeError(f"targets hold {bad}; allowed: 0 to {shape[1] - 1}, the classes of the model")

    def index(self, batch: Batch) -> Tensor | None:
        """Return the third part of the batch, if there is one."""
        return batch[2] if len(batch) > 2 else None

    def size(self, batch: Batch) -> int:
        """Return the number of targets."""
        return int(batch[1].shape[0])

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the logits, shape (n, classes)."""
        out: Tensor = model(batch[0])
        return out

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return one loss per example, shape (n,)."""
        targets = batch[1]
        if self.precision == "float64":
            logits = logits.double()
        if self.loss == "stablemax":
            logits = log_stable(logits)
        if self.loss != "mse":
            return F.cross_entropy(logits, targets, reduction="none")
        # F.one_hot waits for the device and cannot be vectorized over.
        one_hot = targets.unsqueeze(1) == torch.arange(logits.shape[1], device=targets.device)
        squares: Tensor = (logits - one_hot.to(logits.dtype)).square()
        return squares.mean(dim=1)

    def mean(self, losses: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the mean over examples."""
        return losses.mean()

    def weight(self, batch: Batch) -> Tensor:
        """Return the number of examples."""
        return torch.tensor(self.size(batch), device=batch[1].device)

    def split(self, batch: Batch, size: int) -> Iterator[Batch]:
        """Yield the batch in parts of at most ``size`` examples."""
        for start in range(0, self.size(batch), size):
            yield tuple(part[start : start + size] for part in batch)

    def join(self, *batches: Batch) -> Batch:
        """Return several batches as one; an index is kept where all have one."""
        return tuple(torch.cat(parts) for parts in zip(*batches, strict=False))

    def rows(self, output: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the output, one row per example."""
        return output.flatten(1)

    def by_example(self, rows: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the rows: an example is one prediction."""
        return rows

    def classes(self, batch: Batch) -> Tensor | None:
        """Return the targets."""
        return self.targets(batch)

    def predictions(self, logits: Tensor) -> Tensor:
        """Return the arg-max class, shape (n,)."""
        return logits.argmax(dim=1)

    def targets(self, batch: Batch) -> Tensor:
        """Return the targets, shape (n,)."""
        targets: Tensor = batch[1]
        return targets

    def relabel(self, batch: Batch, targets: Tensor) -> Batch:
        """Return the batch with the targets given."""
        return (batch[0], targets, *batch[2:])


def part_losses(logits: Callable[[Batch], Tensor], batch: Batch, objective: Objective, size: int) -> Iterator[Tensor]:
    """Yield scalars whose sum is the batch's mean loss, one for each part of at most ``size`` examples.

    Args:
        logits: Runs the model on a part.
        batch: The whole effective batch.
        objective: Says how its parts weigh.
        size: Examples per part.

    """
    total = objective.weight(batch)
    for part in objective.split(batch, size):
        losses = objective.losses(logits(part), part)
        yield objective.mean(losses, part) * (objective.weight(part) / total)


def backward(terms: Iterable[Tensor]) -> Tensor:
    """Accumulate the gradients of scalars, one graph in memory at a time, and return their sum, detached."""
    total: Tensor | None = None
    for term in terms:
        term.backward()
        total = term.detach() if total is None else total + term.detach()
    assert total is not None
    return total
