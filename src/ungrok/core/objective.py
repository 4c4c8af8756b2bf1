"""How a batch becomes logits, per-example losses and per-example correctness."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from typing_extensions import override

from ungrok.core.errors import RecipeError, unknown
from ungrok.core.forms import as_parts, in_single, logits_in, parts_by_name, rows_of, stacked
from ungrok.core.scores import ClassScores, Scores, device_of, evaluating

Batch = Any
"""What a user's data yield when iterated: ``(inputs, targets)`` for classifiers, a dict for language models."""

Batches = Iterable[Batch]


Family = Literal["classifier", "language"]
"""What a model predicts: one class per example, or the tokens of an answer."""


class Objective(ABC):
    """How a batch becomes logits, losses per example, and what should have been predicted.

    A batch holds ``size(batch)`` examples. ``logits`` runs the model and gives one row per prediction: an example for
    classifiers, an answer token for language models; ``predictions`` and ``targets`` have one value per row. ``losses``
    gives one loss per example and ``mean`` what training minimizes.

    An objective of your own defines ``logits``, ``losses`` and ``targets``. Everything else is inherited and takes batches
    ``(inputs, targets)`` or ``(inputs, targets, index)``, tensors whose first dimension is examples, with one prediction
    per example; ``index`` holds the identities of the examples, int64 of shape (n,).
    """

    family: ClassVar[Family] = "classifier"
    per_sample: ClassVar[bool] = True
    """Whether ``torch.vmap`` can take one example at a time, which needs the same number of predictions in each."""
    draws_predictions: ClassVar[bool] = False
    """Whether an expectation over what the model may predict is estimated by one draw: there is too much it may predict."""
    scores_type: ClassVar[type[Scores]] = ClassScores
    """The type that :meth:`score` returns."""
    compared: ClassVar[int] = 100
    """Examples of a set on which the outputs of two models are compared, where not all of them are."""

    def passes(self) -> AbstractContextManager[Any]:
        """Return the context in which :meth:`logits` runs a model, for passes that are to give something else."""
        return nullcontext()

    @abstractmethod
    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the model's raw output for the batch, one row per prediction."""

    @abstractmethod
    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return one loss per example, shape (n,)."""

    @abstractmethod
    def targets(self, batch: Batch) -> Tensor:
        """Return what ``predictions`` should equal, int64, one value per row of the logits."""

    def predictions(self, logits: Tensor) -> Tensor:
        """Return the predicted class per row, int64: that of the largest logit."""
        return logits.argmax(dim=1)

    def move(self, batch: Batch, device: torch.device) -> Batch:
        """Return the batch on ``device``, in the form that all other methods take: a tuple of tensors.

        Targets of whole numbers become int64 of shape (n,).

        Raises:
            RecipeError: If this objective takes no batch of this form.

        """
        if isinstance(batch, Mapping):
            raise RecipeError(
                f"a batch is a dict with {', '.join(batch)}, but {type(self).__name__} takes (inputs, targets); for a language "
                "model give objective=CausalLM(), and an objective of your own that takes dicts needs move, size, split and join"
            )
        parts = as_parts(batch)
        if isinstance(parts[0], Tensor):  # walking a tree takes longer than the moves themselves
            return tuple(part.to(device, non_blocking=True) for part in parts)
        return tree_map(lambda part: part.to(device, non_blocking=True), parts)

    def check_form(self, batch: Batch) -> None:
        """Raise RecipeError if a batch cannot be learned from by any model; asked before the model runs on it.

        Inputs must be finite, and there must be one target for each.
        """
        inputs, targets = batch[0], self.targets(batch)
        if targets.dtype != torch.int64 or targets.ndim != 1:
            instead = (
                "for one-hot rows give targets.argmax(dim=1)" if targets.ndim else "for a data set give a DataLoader"
            )
            raise RecipeError(
                f"targets are {targets.dtype} of shape {tuple(targets.shape)}; allowed: int64 of shape (n,), one class for each "
                f"example; {instead}"
            )
        for values in inputs.values() if isinstance(inputs, Mapping) else [inputs]:
            if values.ndim == 0 or len(values) != len(targets):
                count = len(values) if values.ndim else 1
                raise RecipeError(f"a batch holds {count} inputs but {len(targets)} targets")
            if values.is_floating_point() and not torch.isfinite(values).all():
                raise RecipeError("inputs hold NaN or infinity")

    def check(self, batch: Batch, shape: torch.Size) -> None:
        """Raise RecipeError if a batch cannot be learned from by a model whose logits have this shape.

        Targets must be classes of the model. An objective that overrides ``predictions`` may have other targets.
        """
        self.check_form(batch)
        targets = self.targets(batch)
        if len(shape) != 2:
            raise RecipeError(f"the model's output has shape {tuple(shape)}; allowed: (n, classes)")
        if type(self).predictions is not Objective.predictions:  # other predictions need not be numbers of logits
            return
        if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < shape[1]:
            bad = int(targets.min()) if int(targets.min()) < 0 else int(targets.max())
            raise RecipeError(f"targets hold {bad}; allowed: 0 to {shape[1] - 1}, the classes of the model")

    def moved(self, before: Tensor, now: Tensor) -> Tensor:
        """Return how far the outputs of a model have moved, a float64 scalar: root mean square change over that of the outputs before.

        Args:
            before: Logits, shape (rows, width).
            now: Logits of the changed model for the same rows.

        """
        before = before.double()
        moved: Tensor = torch.linalg.vector_norm(now.double() - before) / torch.linalg.vector_norm(before)
        return moved

    def index(self, batch: Batch) -> Tensor | None:
        """Return the identities of the examples, shape (n,), int64, or None where the batch carries none."""
        return batch[2] if len(batch) > 2 else None

    def size(self, batch: Batch) -> int:
        """Return the number of examples."""
        return int(self.targets(batch).shape[0])

    def mean(self, losses: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return the mean of the batch that training minimizes, from its ``losses``."""
        return losses.mean()

    def weight(self, batch: Batch) -> Tensor:
        """Return the batch's weight in a mean over several batches: its number of predictions."""
        return torch.tensor(self.size(batch), device=self.targets(batch).device)

    def split(self, batch: Batch, size: int) -> Iterator[Batch]:
        """Yield the batch in parts of at most ``size`` examples."""
        for start in range(0, self.size(batch), size):
            yield rows_of(tuple(batch), slice(start, start + size))

    def join(self, *batches: Batch) -> Batch:
        """Return the examples of several batches as one batch; an index is kept where all have one."""
        return tuple(stacked(list(parts)) for parts in zip(*batches, strict=False))

    def rows(self, output: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return a layer's output by prediction, shape (rows, ...); the first dimension of ``output`` is examples."""
        return output.flatten(1)

    def by_example(self, rows: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002
        """Return one row per example, shape (n, ...): the mean over its predictions."""
        return rows

    def classes(self, batch: Batch) -> Tensor | None:
        """Return the class of each example, shape (n,), int64, or None where the batch does not say."""
        return self.targets(batch)

    def relabel(self, batch: Batch, targets: Tensor) -> Batch:
        """Return the same inputs with other targets."""
        return (batch[0], targets, *batch[2:])

    def scores_of(self, logits: Tensor, losses: Tensor, batch: Batch, *, keep_logits: bool) -> Scores:
        """Return the scores of one batch from its logits and losses, on the device of the batch."""
        # Infinity times zero is NaN, as is the sum. torch.isfinite takes many times as long.
        finite = (logits * 0).flatten(1).sum(dim=1) == 0
        predictions = self.predictions(logits).masked_fill(~finite, -1)
        return ClassScores(losses, predictions, self.targets(batch), logits if keep_logits else None)

    def score(
        self,
        model: nn.Module,
        batches: Batches,
        *,
        keep_logits: bool = True,
        on_losses: Callable[[Tensor], None] | None = None,
        on_logits: Callable[[Tensor], None] | None = None,
    ) -> Scores:
        """Run a model over a split in eval mode, one forward pass, and keep what metrics need, in the order of the batches.

        The model's mode is restored, submodule by submodule.

        Args:
            model: Any model of the objective.
            batches: One pass over the split.
            keep_logits: Whether scores of classes hold the logits; those of answers never do.
            on_losses: Called with each batch's losses, shape (n,), and their graph, so that a gradient costs no second
                forward pass; without it no gradients are computed.
            on_logits: Called with each batch's logits, before the losses are computed.

        Raises:
            RecipeError: If ``batches`` is empty.

        """
        device, parts = device_of(model), []
        with evaluating(model), torch.set_grad_enabled(on_losses is not None):
            for raw in batches:
                batch = self.move(raw, device)
                logits = self.logits(model, batch)
                if on_logits:
                    on_logits(logits.detach())
                losses = self.losses(logits, batch)
                if on_losses:
                    on_losses(losses)
                parts.append(self.scores_of(logits.detach(), losses.detach(), batch, keep_logits=keep_logits))
        if not parts:
            raise RecipeError("no batches to score: the split is empty")
        return type(parts[0]).joined(parts).cpu()


Loss = Literal["cross_entropy", "mse", "stablemax"]


def log_stable(x: Tensor) -> Tensor:
    """Return ``log s(x)`` with ``s(x) = x + 1`` for x ≥ 0 and ``1/(1 − x)`` below, elementwise."""
    return torch.where(x >= 0, x.clamp(min=0).log1p(), -(-x).clamp(min=0).log1p())


class Classification(Objective):
    """Single-label classification with cross-entropy, mean squared error on one-hot targets, or StableMax cross-entropy.

    Batches are ``(inputs, targets)`` or ``(inputs, targets, index)``, the identities of the examples being int64 of shape (n,);
    or dicts: ``labels`` are the targets, ``index`` the identities, and all else goes to the model by name. Targets are whole
    numbers of shape (n,) or (n, 1). Models return logits of shape (n, classes), or an output that holds them under
    ``logits``, as those of transformers do. The squared error of an example is averaged over classes, as
    ``torch.nn.MSELoss`` does. StableMax replaces exp by :func:`log_stable`'s s, which grows linearly and so does not absorb
    small logits: ``−log(s(z_y) / Σ s(z))`` (Prieto et al. 2025, arXiv 2501.04697).

    Args:
        loss: ``"cross_entropy"``, ``"mse"`` or ``"stablemax"``.
        precision: ``"float64"`` computes the loss from logits cast to float64, so that the softmax saturates at losses near
            1e-16 instead of 1e-7; ``"float32"`` leaves the logits as they are.

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

    @override
    def move(self, batch: Batch, device: torch.device) -> Batch:
        return super().move(parts_by_name(batch) if isinstance(batch, Mapping) else batch, device)

    @override
    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs = batch[0]
        return in_single(logits_in(model(**inputs) if isinstance(inputs, Mapping) else model(inputs)))

    @override
    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        targets = batch[1]
        if self.precision == "float64":
            logits = logits.double()
        if self.loss == "stablemax":
            logits = log_stable(logits)
        if self.loss != "mse":
            return F.cross_entropy(logits, targets, reduction="none")
        # F.one_hot makes the CPU wait for the device, and vmap cannot handle it.
        one_hot = torch.zeros_like(logits).scatter(1, targets.unsqueeze(1), 1.0)
        return F.mse_loss(logits, one_hot, reduction="none").mean(dim=1)

    @override
    def targets(self, batch: Batch) -> Tensor:
        targets: Tensor = batch[1]
        return targets

    @override
    def moved(self, before: Tensor, now: Tensor) -> Tensor:
        if self.loss != "cross_entropy":
            return super().moved(before, now)
        # A softmax does not see what all logits of an example have in common.
        before, now = (logits.double() - logits.double().mean(dim=1, keepdim=True) for logits in (before, now))
        return super().moved(before, now)


def part_losses(logits: Callable[[Batch], Tensor], batch: Batch, objective: Objective, size: int) -> Iterator[Tensor]:
    """Yield scalars whose sum is the batch's mean loss, one for each part of at most ``size`` examples.

    Args:
        logits: Runs the model on a part.
        batch: The whole effective batch.
        objective: Says how much each part weighs.
        size: Examples per part.

    """
    total = objective.weight(batch)
    for part in objective.split(batch, size):
        losses = objective.losses(logits(part), part)
        yield objective.mean(losses, part) * (objective.weight(part) / total)


def backward(terms: Iterable[Tensor]) -> Tensor:
    """Accumulate the gradients of scalars, one graph in memory at a time, and return the sum of the scalars, detached."""
    total: Tensor | None = None
    for term in terms:
        if term.requires_grad:
            term.backward()
        total = term.detach() if total is None else total + term.detach()
    assert total is not None
    return total
