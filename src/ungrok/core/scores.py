"""Scores: the cached output of one model on one split, from which every metric is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Batches, Objective


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
class Scores:
    """What one model gave on one split, one entry per example, on the CPU.

    Args:
        losses: float, shape (n,): the objective's own loss.
        predictions: int64, shape (n,): the predicted class; −1 where a logit is not finite.
        targets: int64, shape (n,).
        logits: float, shape (n, classes), or None where only the summaries were kept.

    """

    losses: Tensor
    predictions: Tensor
    targets: Tensor
    logits: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def diverged(self) -> bool:
        """True where any logit or loss was not finite."""
        return bool((self.predictions < 0).any()) or not bool(torch.isfinite(self.losses).all())

    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions in [0, 1]; None for a diverged model or an empty split."""
        if self.diverged or len(self) == 0:
            return None
        return (self.predictions == self.targets).double().mean().item()

    @property
    def loss(self) -> float | None:
        """Mean loss; None for a diverged model or an empty split."""
        if self.diverged or len(self) == 0:
            return None
        return self.losses.double().mean().item()

    def of(self, index: Tensor) -> Scores:
        """Return the scores of the examples that ``index`` (int64 or bool) selects."""
        logits = None if self.logits is None else self.logits[index]
        return Scores(self.losses[index], self.predictions[index], self.targets[index], logits)


def joined(parts: Sequence[Scores]) -> Scores:
    """Return the scores of several batches as one; all of them or none hold logits."""
    names = ("losses", "predictions", "targets", *(("logits",) if parts[0].logits is not None else ()))
    return Scores(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def score(
    model: nn.Module,
    batches: Batches,
    objective: Objective,
    *,
    keep_logits: bool = True,
    on_losses: Callable[[Tensor], None] | None = None,
) -> Scores:
    """Run a model over a split in eval mode and keep what metrics need; its mode is restored, submodule by submodule.

    Args:
        model: Any classifier.
        batches: One pass over the split.
        objective: How a batch becomes logits and losses.
        keep_logits: Whether the scores hold the logits.
        on_losses: Takes each batch's losses, shape (n,), with their graph, so that a gradient costs no second forward
            pass; without it no gradients are computed.

    Raises:
        RecipeError: If ``batches`` is empty.

    """
    device = device_of(model)
    columns: list[tuple[Tensor, ...]] = []
    with evaluating(model), torch.set_grad_enabled(on_losses is not None):
        for raw in batches:
            batch = objective.move(raw, device)
            logits = objective.logits(model, batch)
            finite = torch.isfinite(logits).flatten(1).all(dim=1)
            predictions = objective.predictions(logits).masked_fill(~finite, -1)
            losses = objective.losses(logits, batch)
            if on_losses:
                on_losses(losses)
            kept = (losses.detach(), predictions, objective.targets(batch))
            columns.append((*kept, logits.detach()) if keep_logits else kept)
    if not columns:
        raise RecipeError("no batches to score: the split is empty")
    joined = [torch.cat(parts).cpu() for parts in zip(*columns, strict=True)]
    return Scores(*joined)
