"""Gradients of a trained model: their mean over a set, and the inner products of all pairs of examples."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.utils._pytree import tree_map

from ungrok.analyze.base import MODEL, chunks
from ungrok.core.activations import ROOT
from ungrok.core.closed_forms import Tape, plain
from ungrok.core.gradients import attributes_kept, example_gradients, gradient, trainable, with_parameters
from ungrok.core.objective import Batch, Objective


def layer_of(parameter: str) -> str:
    """Return the module that a parameter belongs to, ``"root"`` for one of the model itself."""
    return parameter.rpartition(".")[0] or ROOT


def mean_gradient(model: nn.Module, batches: Iterable[Batch], objective: Objective) -> dict[str, Tensor]:
    """Return the gradient of the mean loss over all examples, accumulated over batches in float64.

    Cost: one forward and one backward pass over the data.

    Args:
        model: In eval mode.
        batches: One pass, on the model's device.
        objective: Its loss is differentiated.

    Returns:
        float64, one tensor per trainable parameter.

    """
    named = trainable(model)
    total = {name: torch.zeros_like(p, dtype=torch.float64, requires_grad=False) for name, p in named.items()}
    count = 0
    for batch in batches:
        with torch.enable_grad():
            loss = objective.losses(objective.logits(model, batch), batch).sum()
        for value, g in zip(total.values(), gradient(loss, list(named.values())), strict=True):
            value += g
        count += objective.size(batch)
    return {name: value / count for name, value in total.items()}


def cosine(a: dict[str, Tensor], b: dict[str, Tensor], layer: str | None = None) -> float:
    """Return the cosine of two gradients in [−1, 1], of one layer or of the whole model; nan where one is zero."""
    names = [name for name in a if layer is None or layer_of(name) == layer]
    inner, aa, bb = (sum(float((p[n] * q[n]).sum()) for n in names) for p, q in ((a, b), (a, a), (b, b)))
    return inner / (aa * bb) ** 0.5 if aa > 0 and bb > 0 else float("nan")


def _per_sample(
    model: nn.Module, objective: Objective, wanted: dict[str, Tensor]
) -> Callable[[Batch], dict[str, Tensor]]:
    """Return the function from a batch to its per-sample gradients of ``wanted``, each (n, parameter's shape).

    Only the model is vectorized. The loss is differentiated by its logits with plain autograd, so that it may use any function.
    """
    one_by_one = partial(_one_by_one, model, objective, wanted)
    if not objective.per_sample:
        return one_by_one

    def pulled(parameters: dict[str, Tensor], example: Batch, slope: Tensor) -> Tensor:
        live = with_parameters(model, parameters)
        single = tree_map(lambda t: t.unsqueeze(0), example)
        return (objective.logits(live, single)[0] * slope).sum()  # type: ignore[arg-type]

    over = vmap(grad(pulled), in_dims=(None, 0, 0))

    def gradients(batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            logits = objective.logits(model, batch)
        with torch.enable_grad():
            out = logits.requires_grad_()
            slope = torch.autograd.grad(objective.losses(out, batch).sum(), out)[0]
        try:
            with attributes_kept(model), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "There is a performance drop")
                per_sample: dict[str, Tensor] = over(wanted, batch, slope)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError):  # it branches on its data, or calls what has no rule for vmap
            return one_by_one(batch)
        return per_sample

    return gradients


def _one_by_one(model: nn.Module, objective: Objective, wanted: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Return the per-sample gradients of ``wanted``, one backward pass for each example."""
    weights = [model.get_parameter(name) for name in wanted]
    examples = [
        taken
        for (taken,) in example_gradients(
            model, batch, objective, lambda logits, example: objective.losses(logits, example).unsqueeze(0), weights
        )
    ]
    return {name: torch.stack(rows) for name, rows in zip(wanted, zip(*examples, strict=True), strict=True)}


ParameterSlice = tuple[str, int, int]
"""A parameter's name, and where in its values, laid out flat, a part begins and ends."""


def _groups(sizes: dict[str, int], limit: int) -> Iterator[list[ParameterSlice]]:
    """Yield the parameters in groups of at most ``limit`` values, at least 1; a parameter that is too large is cut into parts."""
    group: list[ParameterSlice] = []
    free = limit = max(1, limit)
    for name, size in sizes.items():
        start = 0
        while start < size:
            stop = min(size, start + free)
            group.append((name, start, stop))
            free -= stop - start
            start = stop
            if free == 0:
                yield group
                group, free = [], limit
    if group:
        yield group


def _linear_grams(model: nn.Module, batch: Batch, objective: Objective) -> dict[str, Tensor]:
    """Return the Gram matrices, by parameter, of linear layers that see each example once, as one row.

    With inputs a_i and d_i the derivative of example i's loss in the layer's output, its weight gradient is d_i·a_iᵀ, so
    that ``K = AAᵀ ∘ DDᵀ`` for the weight and ``DDᵀ`` for the bias. In eval mode examples do not mix, and one backward pass
    of the sum over examples gives all d_i.
    """
    owners = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    layers = {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear and plain(module) and all(owners[id(p)] == 1 for p in module.parameters())
    }
    with torch.enable_grad(), Tape(layers) as tape:
        losses = objective.losses(objective.logits(model, batch), batch)
    once = {n: call for n, call in tape.own_rows(losses).items() if call[0].ndim == 2}
    slopes = gradient(losses.sum(), [out for _, out in once.values()]) if once else ()
    grams: dict[str, Tensor] = {}
    for (name, (inputs, _)), d in zip(once.items(), slopes, strict=True):
        outer = d.double() @ d.double().T
        values = {"weight": outer * (inputs.double() @ inputs.double().T), "bias": outer}
        prefix = f"{name}." if name else ""
        grams |= {f"{prefix}{n}": values[n] for n, p in layers[name].named_parameters() if p.requires_grad}
    return grams


def gradient_gram(
    model: nn.Module, batch: Batch, objective: Objective, *, chunk: int = 64, memory: int | None = None
) -> dict[str, Tensor]:
    """Return the inner products of the per-sample gradients of all pairs of examples, layer by layer.

    Means over any two sets of examples, hence all cosines and their nulls, are sums over blocks of these matrices:
    ``⟨ḡ_A, ḡ_B⟩ = mean over i ∈ A, j ∈ B of K_ij``.

    Linear layers that see each example as one row have a closed form, at one backward pass and n²·(inputs + outputs)
    multiplications. Cost of the others: one per-sample backward pass over the data per ``memory`` bytes of per-sample
    gradients, and n²·p multiplications. Products are taken in float64.

    Args:
        model: In eval mode.
        batch: All n examples, on the model's device.
        objective: Its per-example loss is differentiated.
        chunk: Examples per vectorized backward pass.
        memory: Bytes of per-sample gradients held at once; when None 1 GiB, on a GPU a quarter of what is free.

    Raises:
        NotApplicable: If the model cannot be differentiated example by example.

    Returns:
        float64, shape (n, n), on the model's device, by layer and for ``"model"``, their sum.

    """
    parameters = {name: p.detach() for name, p in trainable(model).items()}
    size = objective.size(batch)
    device = next(iter(parameters.values())).device
    memory = memory or (torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else 2**30)
    room = memory // (4 * max(size, 1))
    closed = _linear_grams(model, batch, objective) if objective.per_sample else {}
    total: dict[str, Tensor] = {}
    for name, gram in closed.items():
        total[layer_of(name)] = total[layer_of(name)] + gram if layer_of(name) in total else gram
    for group in _groups({name: p.numel() for name, p in parameters.items() if name not in closed}, room):
        gradients = _per_sample(model, objective, {name: parameters[name] for name, _, _ in group})
        held: list[list[Tensor]] = [[] for _ in group]
        # A gradient of a language model is large, so that its examples are taken one at a time.
        for part in chunks(batch, size, chunk if objective.per_sample else 1):
            of_part = gradients(part)
            for values, (name, start, stop) in zip(held, group, strict=True):
                values.append(of_part[name].flatten(1)[:, start:stop].clone())
        for name, _, _ in group:
            rows = torch.cat(held.pop(0))
            gram = total.setdefault(layer_of(name), rows.new_zeros(size, size, dtype=torch.float64))
            for block in rows.split(8192, dim=1):
                gram.addmm_(block.double(), block.double().T)
    return total | {MODEL: torch.stack(list(total.values())).sum(dim=0)}
