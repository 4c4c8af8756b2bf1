"""Layers for which the gradients of single examples follow from one backward pass of their sum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# In eval mode examples do not mix, so one backward pass of the sum over examples gives every example's gradient with respect
# to a layer's output; with the layer's input it gives the example's weight gradient.


def _linear(_: nn.Linear, inputs: Tensor, d: Tensor) -> dict[str, Tensor]:
    if d.ndim == 2:
        return {"weight": d.square().T @ inputs.square(), "bias": d.square().sum(0)}
    d, inputs = d.flatten(1, -2), inputs.flatten(1, -2)
    return {"weight": _squares(torch.einsum("nto,nti->noi", d, inputs)), "bias": _squares(d.sum(1))}


def taken(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Return what the closed form of a layer takes of its inputs: of a convolution the patches as columns, else the inputs themselves."""
    if not isinstance(layer, nn.Conv2d):
        return inputs
    assert isinstance(layer.padding, tuple)
    return F.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)


def _conv(layer: nn.Conv2d, columns: Tensor, d: Tensor) -> dict[str, Tensor]:
    n, groups = len(d), layer.groups
    columns, rows = columns.view(n, groups, -1, columns.shape[-1]), d.reshape(n, groups, -1, columns.shape[-1])
    weight = _squares(torch.einsum("ngol,ngkl->ngok", rows, columns))
    return {"weight": weight.view(layer.weight.shape), "bias": _squares(d.flatten(2).sum(2))}


def _batch_norm(layer: _BatchNorm, inputs: Tensor, d: Tensor) -> dict[str, Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    mean, var = layer.running_mean.to(inputs.dtype), layer.running_var.to(inputs.dtype)
    normed = F.batch_norm(inputs, mean, var, eps=layer.eps)
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
"""By the type of a layer, from layer, :func:`taken` inputs and slopes of its outputs to squared gradients of weight and bias, summed over examples."""


def _squares(x: Tensor) -> Tensor:
    return x.square().sum(0)


def _over_places(x: Tensor) -> Tensor:
    return x.flatten(2).sum(2) if x.ndim > 2 else x


def plain(layer: nn.Module) -> bool:
    """Return whether a layer computes what its type says from a weight and a bias of its own.

    Pruned and normalized layers (``torch.nn.utils.prune``, ``weight_norm``, ``spectral_norm``) do not: their weight follows from
    other parameters. Nor need a layer with hooks, or with a ``forward`` of its own.
    """
    own = {name for name, parameter in layer._parameters.items() if parameter is not None}
    hooks = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    return own <= {"weight", "bias"} and not any(hooks) and "forward" not in vars(layer)


def _known(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d) and (layer.padding_mode != "zeros" or isinstance(layer.padding, str)):
        return False
    return type(layer) in CLOSED_FORMS and plain(layer) and getattr(layer, "running_mean", layer) is not None


def closed_form_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that own the trainable parameters, or an empty dict unless closed forms may cover them all.

    They may if every such layer is of a known type, plain, and shares no parameter with another. Whether they do on a batch,
    :meth:`Tape.own_rows` says.
    """
    owners: dict[str, nn.Module] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            owner = name.rpartition(".")[0]
            owners[owner] = model.get_submodule(owner)
    tied = len(list(model.named_parameters(remove_duplicate=False))) > len(list(model.parameters()))
    return {} if tied or not all(_known(layer) for layer in owners.values()) else owners


class Tape:
    """Inside ``with Tape(layers) as tape:`` every call of a layer is recorded.

    ``tape.calls[name]`` lists, call by call, the layer's input (its only argument, detached) and its output. Later layers get
    a copy of the output, so that in-place functions do not change what is recorded.

    Args:
        layers: By name.

    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self.calls: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}
        self._layers = layers

    def __enter__(self) -> Tape:
        self._handles = [
            layer.register_forward_hook(self._hook(name), with_kwargs=True) for name, layer in self._layers.items()
        ]
        return self

    def _hook(self, name: str) -> Any:
        def record(_: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor) -> Tensor:
            (inputs,) = (*args, *named.values())  # these layers take one argument
            self.calls[name].append((inputs.detach(), output))
            return output.clone()

        return record

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def own_rows(self, outcome: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return input and output of the layers whose row i belongs to example i alone.

        Such a layer is called once, and its parameters act on ``outcome`` through that call only: a parameter that also works
        outside its layer, as in ``F.linear(x, model.embedding.weight)``, is seen in the graph. And a row passes on the slope of
        its own example: with weights w on the examples, that of row i grows w_i times. This fails where the examples stand in
        another dimension, where they mix, and behind a router.

        Args:
            outcome: One number per example, shape (n,), with its graph.

        """
        called: dict[str, tuple[Tensor, Tensor]] = {}
        for name, layer in self._layers.items():
            calls = self.calls[name]
            if len(calls) != 1 or calls[0][0].ndim < 2 or len(calls[0][0]) != len(outcome):
                continue
            own = {id(p) for p in layer.parameters(recurse=False) if p.requires_grad}
            node = calls[0][1].grad_fn
            if node is not None and not any(id(leaf) in own for leaf in _leaves(outcome, {node})):
                called[name] = calls[0]
        if len(outcome) == 1 or not called:
            return called
        kept = _separate(outcome, [output for _, output in called.values()])
        return {name: call for (name, call), keep in zip(called.items(), kept, strict=True) if keep}

    def idle(self, name: str, outcome: Tensor) -> bool:
        """Return whether ``outcome`` does not depend on a layer's parameters at all."""
        own = {id(p) for p in self._layers[name].parameters(recurse=False)}
        return not self.calls[name] and not any(id(leaf) in own for leaf in _leaves(outcome, set()))


def _separate(outcome: Tensor, outputs: list[Tensor]) -> list[bool]:
    """Return, for each output, whether its row i acts on ``outcome[i]`` alone, to the rounding of the outputs."""
    weights = torch.randn(len(outcome), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = weights.to(outcome)
    plain, weighted = (
        torch.autograd.grad(total, outputs, retain_graph=True, materialize_grads=True)
        for total in (outcome.sum(), (weights * outcome).sum())
    )
    rounding = max(torch.finfo(output.dtype).eps for output in outputs) ** 0.5
    kept = []
    for slope, seen in zip(plain, weighted, strict=True):
        expected = slope * weights.to(slope).view(-1, *[1] * (slope.ndim - 1))
        allowed = rounding * float(expected.abs().max()) if expected.numel() else 0.0
        kept.append(torch.allclose(seen, expected, rtol=0, atol=allowed, equal_nan=True))
    return kept


def _leaves(outcome: Tensor, closed: set[Any]) -> Iterator[Tensor]:
    """Yield the leaves on which a tensor depends by ways that do not go through the nodes ``closed``."""
    seen, waiting = set(closed), [outcome.grad_fn]
    while waiting:
        node: Any = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting.extend(following for following, _ in node.next_functions)
