"""Second moments of per-example gradients: the diagonal Fisher information, and squared loss gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map

from ungrok.core.errors import NotApplicable
from ungrok.core.objective import Batch, Objective

Scalars = Callable[[Tensor, Batch], Tensor]
"""Takes logits and a batch of n examples; returns shape (k, n), the k numbers per example whose gradients are squared and summed."""


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
        One non-negative tensor per trainable parameter, and the number of classes or of tokens in the vocabulary.

    Raises:
        NotApplicable: If the model cannot be differentiated example by example.

    """

    def weighted_log_probabilities(logits: Tensor, _: Batch) -> Tensor:
        log_p = logits.log_softmax(dim=1)
        return ((log_p.detach() / 2).exp() * log_p).T  # the square of the gradient of √p·log p is weighted by p

    def drawn_log_probability(logits: Tensor, _: Batch) -> Tensor:
        log_p = logits.log_softmax(dim=1)
        return log_p.gather(1, torch.multinomial(log_p.detach().exp(), 1)).sum().view(1, 1)

    scalars = drawn_log_probability if objective.draws_predictions else weighted_log_probabilities
    total, count, outputs = _second_moments(model, batches, objective, scalars, chunk)
    return {name: value / count for name, value in total.items()}, outputs


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
        One non-negative tensor per trainable parameter, and the number of examples.

    Raises:
        NotApplicable: If the model cannot be differentiated example by example.

    """
    total, count, _ = _second_moments(
        model, batches, objective, lambda logits, batch: objective.losses(logits, batch).unsqueeze(0), chunk
    )
    return {name: value / count for name, value in total.items()}, count


@torch.enable_grad()
def _second_moments(
    model: nn.Module, batches: Iterator[Batch], objective: Objective, scalars: Scalars, chunk: int
) -> tuple[dict[str, Tensor], int, int]:
    """Return the squared gradients, summed over examples and scalars; the number of examples; and that of scalars.

    Of language models the last is the size of the vocabulary.
    """
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in trainable.items()}
    count, outputs, layers = 0, 0, None
    for batch in batches:
        size = objective.size(batch)
        if not objective.per_sample:
            outputs = _add_one_by_one(model, batch, objective, scalars, total)
            count += size
            continue
        for start in range(0, size, chunk):
            part = tree_map(lambda x, a=start: x[a : a + chunk], batch)
            if layers is None:
                layers = _closed_form_layers(model, part, objective)
            add = _add_by_layer if layers else _add_by_example
            outputs = add(model, part, objective, scalars, total, layers or {})
        count += size
    return total, count, outputs


# Per-layer closed forms. In eval mode examples do not mix, so one backward pass of the sum over examples gives every
# example's gradient with respect to a layer's output; with the layer's input it gives the example's weight gradient.


def _linear(_: nn.Linear, inputs: Tensor, d: Tensor) -> dict[str, Tensor]:
    if d.ndim == 2:
        return {"weight": d.square().T @ inputs.square(), "bias": d.square().sum(0)}
    d, inputs = d.flatten(1, -2), inputs.flatten(1, -2)
    return {"weight": _squares(torch.einsum("nto,nti->noi", d, inputs)), "bias": _squares(d.sum(1))}


def _conv(layer: nn.Conv2d, inputs: Tensor, d: Tensor) -> dict[str, Tensor]:
    assert isinstance(layer.padding, tuple)
    columns = F.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    n, groups = len(d), layer.groups
    columns, rows = columns.view(n, groups, -1, columns.shape[-1]), d.reshape(n, groups, -1, columns.shape[-1])
    weight = _squares(torch.einsum("ngol,ngkl->ngok", rows, columns))
    return {"weight": weight.view_as(layer.weight), "bias": _squares(d.flatten(2).sum(2))}


def _batch_norm(layer: _BatchNorm, inputs: Tensor, d: Tensor) -> dict[str, Tensor]:
    normed = F.batch_norm(inputs, layer.running_mean, layer.running_var, eps=layer.eps)
    return {"weight": _squares(_over_places(d * normed)), "bias": _squares(_over_places(d))}


def _group_norm(layer: nn.GroupNorm, inputs: Tensor, d: Tensor) -> dict[str, Tensor]:
    normed = F.group_norm(inputs, layer.num_groups, eps=layer.eps)
    return {"weight": _squares(_over_places(d * normed)), "bias": _squares(_over_places(d))}


def _layer_norm(layer: nn.LayerNorm, inputs: Tensor, d: Tensor) -> dict[str, Tensor]:
    normed = F.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
    shape = (len(d), -1, *layer.normalized_shape)
    return {"weight": _squares((d * normed).reshape(shape).sum(1)), "bias": _squares(d.reshape(shape).sum(1))}


CLOSED_FORMS: dict[type[nn.Module], Callable[..., dict[str, Tensor]]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
}


def _squares(x: Tensor) -> Tensor:
    return x.square().sum(0)


def _over_places(x: Tensor) -> Tensor:
    return x.flatten(2).sum(2) if x.ndim > 2 else x


def _known(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d) and (layer.padding_mode != "zeros" or isinstance(layer.padding, str)):
        return False
    return type(layer) in CLOSED_FORMS and getattr(layer, "running_mean", layer) is not None


def _closed_form_layers(model: nn.Module, batch: Batch, objective: Objective) -> dict[str, nn.Module]:
    """Return the layers that own the trainable parameters, or an empty dict unless closed forms cover them all.

    They do if every such layer is of a known type, shares no weights, and is called once, with one row per example. The last
    is tested by running one and two examples.
    """
    owners: dict[str, nn.Module] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            owner = name.rpartition(".")[0]
            owners[owner] = model.get_submodule(owner)
    tied = len(list(model.named_parameters(remove_duplicate=False))) > len(list(model.parameters()))
    if tied or not all(_known(layer) for layer in owners.values()):
        return {}
    for n in (1, 2):
        copies = tree_map(lambda x, n=n: torch.cat([x[:1]] * n), batch)
        with torch.no_grad(), Tape(owners) as tape:
            objective.logits(model, copies)
        if any([len(inputs) for inputs, _ in tape.calls[name]] != [n] for name in owners):
            return {}
    return owners


class Tape:
    """Inside ``with Tape(layers) as tape:`` every call of a layer is recorded.

    ``tape.calls[name]`` lists, call by call, the layer's input (its first argument, detached) and its output. Later layers get
    a copy of the output, so that in-place functions do not change what is recorded.

    Args:
        layers: By name.

    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self.calls: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}
        self._layers = layers

    def __enter__(self) -> Tape:
        self._handles = [layer.register_forward_hook(self._hook(name)) for name, layer in self._layers.items()]
        return self

    def _hook(self, name: str) -> Any:
        def record(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            self.calls[name].append((args[0].detach(), output))
            return output.clone()

        return record

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()


def _add_by_layer(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    scalars: Scalars,
    total: dict[str, Tensor],
    layers: dict[str, nn.Module],
) -> int:
    with Tape(layers) as tape:
        rows = scalars(objective.logits(model, batch), batch)
    inputs, outputs = zip(*(tape.calls[name][0] for name in layers), strict=True)
    for index, row in enumerate(rows):
        gradients = torch.autograd.grad(row.sum(), outputs, retain_graph=index + 1 < len(rows))
        with torch.no_grad():
            for (name, layer), x, d in zip(layers.items(), inputs, gradients, strict=True):
                for part, value in CLOSED_FORMS[type(layer)](layer, x, d).items():
                    key = f"{name}.{part}" if name else part
                    if key in total:
                        total[key] += value
    return len(rows)


def _add_one_by_one(
    model: nn.Module, batch: Batch, objective: Objective, scalars: Scalars, total: dict[str, Tensor]
) -> int:
    """Add the squares of each example's gradient, one backward pass each, and return the size of the vocabulary."""
    parameters = dict(model.named_parameters())
    for example in objective.split(batch, 1):
        logits = objective.logits(model, example)
        gradients = torch.autograd.grad(
            scalars(logits, example).sum(), [parameters[name] for name in total], allow_unused=True
        )
        for value, gradient in zip(total.values(), gradients, strict=True):
            if gradient is not None:
                value += gradient.square()
    return logits.shape[1]


def _add_by_example(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    scalars: Scalars,
    total: dict[str, Tensor],
    _: dict[str, nn.Module],
) -> int:
    """Add the squares of each example's Jacobian, which is held in memory for the whole batch."""
    fixed = {n: p.detach() for n, p in model.named_parameters() if n not in total} | dict(model.named_buffers())

    def per_example(parameters: dict[str, Tensor], example: Batch) -> Tensor:
        single = tree_map(lambda x: x.unsqueeze(0), example)

        def call(*args: Any, **kwargs: Any) -> Any:
            return functional_call(model, (parameters, fixed), args, kwargs)

        return scalars(objective.logits(call, single), single)[:, 0]  # type: ignore[arg-type]

    try:
        # Fused attention kernels have no rule for vmap and would be called once per example.
        with sdpa_kernel(SDPBackend.MATH):
            jacobian = vmap(jacrev(per_example), in_dims=(None, 0))
            rows = jacobian({n: p.detach() for n, p in model.named_parameters() if n in total}, batch)
    except RuntimeError as error:
        raise NotApplicable(f"this model cannot be differentiated example by example ({error})") from None
    for name, row in rows.items():
        total[name] += row.square().sum(dim=(0, 1))
    return len(next(iter(rows.values()))[0])
