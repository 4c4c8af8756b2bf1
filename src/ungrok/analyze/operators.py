"""Second derivatives of a set's mean loss, as products with vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ungrok.analyze.krylov import Matmul
from ungrok.core.errors import NotApplicable, first_line
from ungrok.core.objective import Batch, Objective


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors as one float64 vector on the CPU."""
    return torch.cat([t.detach().reshape(-1) for t in tensors]).double().cpu()


def split(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return a vector, shape (p,), or a matrix, (p, k), as tensors of the shapes, types and devices of ``like``.

    Columns become a leading dimension: ``(k, *shape)``.
    """
    parts = vector.split([t.numel() for t in like])
    if vector.ndim == 1:
        return [part.view(t.shape).to(t) for part, t in zip(parts, like, strict=True)]
    return [part.T.reshape(-1, *t.shape).to(t) for part, t in zip(parts, like, strict=True)]


def parameters(model: nn.Module) -> list[Tensor]:
    """Return the parameters that training would move."""
    return [p for p in model.parameters() if p.requires_grad]


def size(model: nn.Module) -> int:
    """Return the number of parameters that training would move, p."""
    return sum(p.numel() for p in parameters(model))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = first_line(error)
        raise NotApplicable(f"this model cannot be differentiated twice ({reason})") from error


def _products(
    batches: Sequence[Batch], build: Callable[[Batch], Callable[[list[Tensor]], tuple[Tensor, ...]]], like: list[Tensor]
) -> Callable[[Tensor, int], Tensor]:
    """Return the function from V and a count to ``Σ over batches of A_b·V / count``.

    Args:
        batches: Each contributes A_b.
        build: Builds a batch's graph; what it returns multiplies one vector, given and returned as tensors like ``like``.
            The graph of a single batch is built once and kept, others at every call, so that memory stays bounded.
        like: The parameters.

    """
    with _explained():
        kept = build(batches[0]) if len(batches) == 1 else None

    def matmul(v: Tensor, count: int) -> Tensor:
        columns, total = split(v, like), torch.zeros_like(v)
        for batch in batches:
            with _explained():
                times = kept or build(batch)
                for k in range(v.shape[1]):
                    total[:, k] += flat(times([column[k] for column in columns]))
        return total / count

    return matmul


def hessian(model: nn.Module, batches: Sequence[Batch], objective: Objective) -> Matmul:
    """Return multiplication with the Hessian of the mean loss over all examples.

    By double backward passes: Pearlmutter 1994. Cost of k columns: one forward and one backward pass, and k backward
    passes through both; the first two are made once where there is one batch.

    Args:
        model: In eval mode; its weights must not change while the product is in use.
        batches: On the model's device; held.
        objective: Its loss is differentiated.

    Raises:
        NotApplicable: If the model cannot be differentiated twice.

    """
    weights, count = parameters(model), sum(map(objective.size, batches))

    def build(batch: Batch) -> Callable[[list[Tensor]], tuple[Tensor, ...]]:
        with torch.enable_grad():
            loss = objective.losses(objective.logits(model, batch), batch).sum()
            slopes = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
        return lambda vector: _grad(slopes, weights, vector)

    products = _products(batches, build, weights)
    return lambda v: products(v, count)


def gauss_newton(model: nn.Module, batches: Sequence[Batch], objective: Objective) -> Matmul:
    """Return multiplication with the generalized Gauss-Newton matrix ``E Jᵀ·H_L·J``.

    J is the Jacobian of the logits, H_L the Hessian of an example's loss in them. Positive semi-definite for convex losses;
    for cross-entropy it is the Fisher information. Source: Schraudolph 2002.
    J·v is the derivative of Jᵀ·u along u, so that reverse mode is all it takes. Cost of k columns: one forward and one
    backward pass, and 3k backward passes; the first two are made once where there is one batch.

    Args:
        model: In eval mode; its weights must not change while the product is in use.
        batches: On the model's device; held.
        objective: Its loss, as a function of the logits, is differentiated twice.

    Raises:
        NotApplicable: If the model cannot be differentiated so.

    """
    weights, count = parameters(model), sum(map(objective.size, batches))

    def build(batch: Batch) -> Callable[[list[Tensor]], tuple[Tensor, ...]]:
        with torch.enable_grad():
            logits = objective.logits(model, batch)
            out = logits.detach().requires_grad_()
            slope = torch.autograd.grad(objective.losses(out, batch).sum(), out, create_graph=True)
            u = torch.zeros_like(out, requires_grad=True)
            pulled = torch.autograd.grad(logits, weights, u, create_graph=True, materialize_grads=True)
        return lambda vector: _grad([logits], weights, _grad(slope, [out], _grad(pulled, [u], vector)))

    products = _products(batches, build, weights)
    return lambda v: products(v, count)


def _grad(outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return vector-Jacobian products, zeros where an output does not depend on an input; the graph is kept."""
    return torch.autograd.grad(outputs, inputs, vectors, retain_graph=True, materialize_grads=True)


def rescaled(matmul: Matmul, scale: Tensor) -> Matmul:
    """Return multiplication with ``D·A·D``, D the diagonal matrix of ``scale``, float64, shape (p,)."""
    return lambda v: scale.unsqueeze(1) * matmul(scale.unsqueeze(1) * v)
