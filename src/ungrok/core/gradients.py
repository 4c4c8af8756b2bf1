"""Per-example gradient statistics."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from ungrok.core.objective import Batch, Objective


def diagonal_fisher(
    model: nn.Module, batches: Iterator[Batch], objective: Objective, chunk: int = 32
) -> tuple[dict[str, Tensor], int]:
    """Return the diagonal Fisher information, its expectation over the model's own predictions.

    ``F = mean over x of Σ_y p(y|x)·(∂ log p(y|x)/∂θ)²`` with p the softmax of the logits. The model must be in eval mode;
    the value does not depend on how examples are batched.

    Args:
        model: Logits of shape (n, classes).
        batches: One pass over ``(inputs, targets)``, on the model's device.
        objective: Splits a batch; its loss is not used.
        chunk: Examples whose Jacobians (classes x parameters) are held in memory at once.

    Returns:
        One non-negative tensor per trainable parameter, and the number of classes.

    """
    trainable = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    frozen = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    buffers = dict(model.named_buffers())

    def logits(parameters: dict[str, Tensor], example: Tensor) -> tuple[Tensor, Tensor]:
        out: Tensor = functional_call(model, (parameters, frozen, buffers), (example.unsqueeze(0),))
        return out[0], out[0]

    jacobian = vmap(jacrev(logits, has_aux=True), in_dims=(None, 0))
    total = {name: torch.zeros_like(p) for name, p in trainable.items()}
    count = outputs = 0
    for batch in batches:
        for inputs in batch[0].split(chunk):
            rows, out = jacobian(trainable, inputs)
            probabilities = out.softmax(dim=1)
            outputs = out.shape[1]
            # d log p(y) / d logits = e_y − p, weighted with √p(y) so that the square carries the expectation.
            weights = (torch.eye(outputs, device=out.device, dtype=out.dtype) - probabilities.unsqueeze(1)) * (
                probabilities.sqrt().unsqueeze(2)
            )
            for name, row in rows.items():
                flat = torch.bmm(weights, row.flatten(2))
                total[name] += flat.square().sum(dim=(0, 1)).view_as(total[name])
        count += objective.size(batch)
    return {name: value / count for name, value in total.items()}, outputs
