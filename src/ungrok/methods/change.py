"""Whether unlearning has moved a model at all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ungrok.core.entrance import enter
from ungrok.core.modules import bare
from ungrok.core.objective import Batches, Objective
from ungrok.core.scores import evaluating
from ungrok.core.seeds import seeded

MEASURABLE = 0.01
"""A mean absolute change of the losses of the forget examples that counts as one, in the unit of the loss."""


@dataclass(frozen=True)
class Change:
    """What a path has changed, seen from where it began.

    Args:
        original: The model from which the path left.
        forget: Re-iterable batches to forget.
        objective: How a batch becomes logits and losses.
        seed: Seed of loaders that shuffle.

    """

    original: nn.Module
    forget: Batches
    objective: Objective
    seed: int

    def largest(self, model: nn.Module) -> float:
        """Return the largest absolute change of a weight."""
        after = dict(model.named_parameters())
        changes = [
            (after[name].detach().double() - p.detach().double()).abs().max()
            for name, p in self.original.named_parameters()
            if p.numel()
        ]
        return float(torch.stack(changes).max())

    def broken(self, model: nn.Module) -> str | None:
        """Say which weight or buffer is not finite, though it was; return None where there is none."""
        after = bare(model).state_dict()
        for name, before in bare(self.original).state_dict().items():
            if before.is_floating_point() and not after[name].isfinite().all() and before.isfinite().all():
                return f"{name} holds NaN or infinity; a lower learning rate or strength may help"
        return None

    def too_small(self, model: nn.Module) -> str | None:
        """Say how little has changed, or return None where something has that can be measured on the forget set.

        That is a prediction, or the losses by :data:`MEASURABLE` on average. Both models see the same batches, in eval mode; the global
        random state is left alone.
        """
        objective = self.objective
        correct = count = 0
        moved, examples = 0.0, 0
        with seeded(self.seed), torch.no_grad(), evaluating(self.original), evaluating(model):
            for raw in getattr(self.forget, "uncounted", self.forget):  # as ungrok.evaluate.cost.Metered has it
                batch = enter(objective, model, raw)
                before, after = (objective.logits(m, batch) for m in (self.original, model))
                predicted = objective.predictions(before)
                if not torch.equal(predicted, objective.predictions(after)):
                    return None
                correct += int((predicted == objective.targets(batch)).sum())
                count += len(predicted)
                change = objective.losses(after, batch).double() - objective.losses(before, batch).double()
                moved, examples = moved + float(change.abs().sum()), examples + len(change)
        if not moved < MEASURABLE * examples:
            return None
        largest = self.largest(model)
        weights = f"no weight by more than {largest:.1e}" if largest else "no weight at all"
        return f"it changed no prediction on the forget set (accuracy {correct / max(1, count):.3f} before and after) and {weights}"
