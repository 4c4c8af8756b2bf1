"""Gradients as everything here takes them, and second moments of those of single examples.

A parameter that the loss does not depend on has the gradient 0, a frozen one has none, and a shared one has one. Gradients are
added up in float32 at least.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

from ungrok.core.closed_forms import CLOSED_FORMS, Tape, closed_form_layers, taken
from ungrok.core.errors import NotApplicable, first_line
from ungrok.core.objective import Batch, Objective
from ungrok.core.precision import wide, wide_type

KEPT = 2**26
"""Bytes of inputs of layers that are kept in the form in which all scalars of an example need them."""

Scalars = Callable[[Tensor, Batch], Tensor]
"""Takes logits and a batch of n examples; returns shape (k, n), the k numbers per example whose gradients are squared and summed."""


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are not frozen, each once, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def gradient(value: Tensor, parameters: Sequence[Tensor], *, keep_graph: bool = False) -> tuple[Tensor, ...]:
    """Return the gradient of a scalar by each parameter: 0 where it does not depend on one; float32 at least.

    Args:
        value: The scalar.
        parameters: Leaves; their ``grad`` is left as it is.
        keep_graph: Whether the graph of ``value`` is needed again.

    """
    if not value.requires_grad:
        return tuple(torch.zeros_like(p, dtype=wide_type(p.dtype)) for p in parameters)
    taken = torch.autograd.grad(value, parameters, retain_graph=keep_graph, materialize_grads=True)
    return tuple(map(wide, taken))


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """Return tensors as one vector, whatever their memory layout."""
    return torch.cat([t.reshape(-1) for t in tensors])


def with_parameters(model: nn.Module, values: Mapping[str, Tensor]) -> Callable[..., Any]:
    """Return the model as a function in which some parameters have other values, wherever they stand; nothing else is differentiated.

    ``torch.func.functional_call`` alone would leave another tensor in the place of a parameter whose module has two names.

    Args:
        model: Left as it is.
        values: By the names of the parameters.

    """
    names = {id(p): name for name, p in model.named_parameters()}
    whole = {
        f"{prefix}.{name}" if prefix else name: values.get(names[id(p)], p.detach())
        for prefix, module in model.named_modules()  # each module once
        for name, p in module._parameters.items()
        if p is not None
    }

    def call(*args: Any, **kwargs: Any) -> Any:
        return functional_call(model, whole, args, kwargs, tie_weights=False)

    return call


def example_gradients(
    model: nn.Module, batch: Batch, objective: Objective, scalars: Scalars, parameters: Sequence[Tensor]
) -> Iterator[list[tuple[Tensor, ...]]]:
    """Yield the gradients of each example's k scalars, one backward pass each.

    Args:
        model: Any model of the objective.
        batch: On the model's device.
        objective: Runs the model on one example at a time.
        scalars: What is differentiated.
        parameters: By which it is differentiated.

    Raises:
        NotApplicable: If the model does not take one example, or cannot be differentiated.

    """
    for example in objective.split(batch, 1):
        try:
            with torch.enable_grad():
                rows = scalars(objective.logits(model, example), example)
            yield [gradient(row.sum(), parameters, keep_graph=k + 1 < len(rows)) for k, row in enumerate(rows)]
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError) as error:
            reason = first_line(error)
            raise NotApplicable(f"this model cannot be differentiated example by example ({reason})") from None


def diagonal_fisher(
    model: nn.Module, batches: Iterator[Batch], objective: Objective, chunk: int = 64
) -> tuple[dict[str, Tensor], int]:
    """Return the diagonal Fisher information, its expectation over the model's own predictions.

    ``F = mean over x of Σ_y p(y|x)·(∂ log p(y|x)/∂θ)²`` with p the softmax of the logits. The model must be in eval mode;
    the value does not depend on how examples are batched. The sum over y is too long for a language model. There y is drawn
    with the global random state, each answer token once, given the true tokens before it; this estimate is unbiased.

    Args:
        model: Logits of shape (n, classes).
        batches: One pass over the data, on the model's device.
        objective: Runs the model on a batch; its loss is not used.
        chunk: Examples that are differentiated at once.

    Returns:
        One non-negative tensor per trainable parameter, float32 at least, and the number of classes or of tokens in the
        vocabulary.

    Raises:
        NotApplicable: If the model cannot be differentiated example by example.

    """
    outputs = 0

    def weighted_log_probabilities(logits: Tensor, _: Batch) -> Tensor:
        nonlocal outputs
        outputs = logits.shape[1]
        log_p = wide(logits).log_softmax(dim=1)
        return ((log_p.detach() / 2).exp() * log_p).T  # the square of the gradient of √p·log p is weighted by p

    def drawn_log_probability(logits: Tensor, _: Batch) -> Tensor:
        nonlocal outputs
        outputs = logits.shape[1]
        log_p = wide(logits).log_softmax(dim=1)
        return log_p.gather(1, torch.multinomial(log_p.detach().exp(), 1)).sum().view(1, 1)

    scalars = drawn_log_probability if objective.draws_predictions else weighted_log_probabilities
    return _second_moments(model, batches, objective, scalars, chunk)[0], outputs


def squared_gradients(
    model: nn.Module, batches: Iterator[Batch], objective: Objective, chunk: int = 64
) -> tuple[dict[str, Tensor], int]:
    """Return the mean over examples of the squared gradient of the example's loss, ``mean (∂L(x)/∂θ)²``.

    The model must be in eval mode; the value does not depend on how examples are batched.

    Args:
        model: Any model of the objective.
        batches: One pass over the data, on the model's device.
        objective: How a batch becomes logits and losses.
        chunk: Examples that are differentiated at once.

    Returns:
        One non-negative tensor per trainable parameter, float32 at least, and the number of examples.

    Raises:
        NotApplicable: If the model cannot be differentiated example by example.

    """
    return _second_moments(
        model, batches, objective, lambda logits, batch: objective.losses(logits, batch).unsqueeze(0), chunk
    )


def _second_moments(
    model: nn.Module, batches: Iterator[Batch], objective: Objective, scalars: Scalars, chunk: int
) -> tuple[dict[str, Tensor], int]:
    """Return the squared gradients, summed over scalars and averaged over examples, and the number of examples."""
    squares = _Squares(model, objective, scalars)
    count = 0
    with torch.enable_grad(), attributes_kept(model):
        for batch in batches:
            size = objective.size(batch)
            if objective.per_sample:
                for start in range(0, size, chunk):
                    squares.add(tree_map(lambda x, a=start: x[a : a + chunk], batch))
            else:
                squares.add_one_by_one(batch)
            count += size
    return {name: value / count for name, value in squares.total.items()}, count


class _Squares:
    """The sum of squared gradients of the examples seen so far, in one of three ways.

    By layer in closed form where that holds for a batch; else by vectorized Jacobians, one for each example; else by one backward
    pass for each example, which any model takes.
    """

    def __init__(self, model: nn.Module, objective: Objective, scalars: Scalars) -> None:
        self.model, self.objective, self.scalars = model, objective, scalars
        self.parameters = trainable(model)
        self.total = {
            name: torch.zeros_like(p, dtype=wide_type(p.dtype), requires_grad=False)
            for name, p in self.parameters.items()
        }
        self.layers = closed_form_layers(model)
        self.vectorized = True

    def add(self, batch: Batch) -> None:
        """Add the examples of a batch."""
        if self.layers and self._add_by_layer(batch):
            return
        if self.vectorized and self._add_by_example(batch):
            return
        self.vectorized = False
        self.add_one_by_one(batch)

    def _add_by_layer(self, batch: Batch) -> bool:
        """Add the examples in closed form, if that holds for this batch."""
        with Tape(self.layers) as tape:
            rows = self.scalars(self.objective.logits(self.model, batch), batch)
        called = tape.own_rows(rows[0])
        if any(name not in called and not tape.idle(name, rows[0]) for name in self.layers):
            return False
        if not called:
            return True
        outputs, kept = [output for _, output in called.values()], self._kept(called, len(rows))
        for index, row in enumerate(rows):
            slopes = gradient(row.sum(), outputs, keep_graph=index + 1 < len(rows))
            with torch.no_grad():
                for (name, (inputs, _)), d in zip(called.items(), slopes, strict=True):
                    layer = self.layers[name]
                    seen = kept[name] if name in kept else taken(layer, wide(inputs))
                    for part, value in CLOSED_FORMS[type(layer)](layer, seen, d).items():
                        key = f"{name}.{part}" if name else part
                        if key in self.total:
                            self.total[key] += value
        return True

    @torch.no_grad()
    def _kept(self, called: Mapping[str, tuple[Tensor, Tensor]], times: int) -> dict[str, Tensor]:
        """Return what closed forms take of the inputs of the first layers, as many as :data:`KEPT` allows, where each is needed several times."""
        kept, free = dict[str, Tensor](), KEPT
        for name, (inputs, _) in called.items() if times > 1 else ():
            seen = taken(self.layers[name], wide(inputs))
            free -= 0 if seen is inputs else seen.nbytes
            if free < 0:
                break
            kept[name] = seen
        return kept

    def _add_by_example(self, batch: Batch) -> bool:
        """Add the squares of each example's Jacobian, held in memory for the whole batch, if the model can be vectorized."""

        def per_example(parameters: dict[str, Tensor], example: Batch) -> Tensor:
            single = tree_map(lambda x: x.unsqueeze(0), example)
            model = with_parameters(self.model, parameters)
            return self.scalars(self.objective.logits(model, single), single)[:, 0]  # type: ignore[arg-type]

        try:
            # Fused attention kernels have no rule for vmap and would be called once per example; torch warns where it does so.
            with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "There is a performance drop")
                jacobian = vmap(jacrev(per_example), in_dims=(None, 0))
                rows = jacobian({n: p.detach() for n, p in self.parameters.items()}, batch)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError):  # it branches on its data, or calls what has no rule for vmap
            return False
        for name, row in rows.items():
            self.total[name] += wide(row).square().sum(dim=(0, 1))
        return True

    def add_one_by_one(self, batch: Batch) -> None:
        """Add the squares of each example's gradients, one backward pass each."""
        weights = list(self.parameters.values())
        for rows in example_gradients(self.model, batch, self.objective, self.scalars, weights):
            for each in rows:
                for value, g in zip(self.total.values(), each, strict=True):
                    value += g.square()


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Put back, when the block ends, tensors that modules hold beside parameters and buffers.

    Old normalizations and pruning write the weight of each forward pass into the module, and a vectorized pass would leave a
    tensor there that cannot be used afterwards.
    """
    plain = [{k: v for k, v in vars(module).items() if isinstance(v, Tensor)} for module in model.modules()]
    try:
        yield
    finally:
        for module, values in zip(model.modules(), plain, strict=True):
            for name in [k for k, v in vars(module).items() if isinstance(v, Tensor) and k not in values]:
                del vars(module)[name]
            vars(module).update(values)


def norm_of(tensors: Iterable[Tensor]) -> float | None:
    """Return the Euclidean norm of several tensors together, summed in float64; None where it is not finite."""
    norm = torch.stack([t.detach().double().square().sum() for t in tensors]).sum().sqrt()
    return norm.item() if torch.isfinite(norm) else None
