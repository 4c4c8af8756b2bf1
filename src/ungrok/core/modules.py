"""A user's module: what stands under its wrappers, what its forward pass takes, and a copy of it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ungrok.core.errors import NotApplicable, first_line

OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)
"""What says nothing of a module, but of the machine."""


def bare(model: nn.Module) -> nn.Module:
    """Return the module under ``nn.DataParallel`` and ``torch.compile``, in whatever order they stand.

    Hooks are left out of a compiled forward pass, and replicas are no modules of their own, so whatever looks into a model
    or moves its weights takes the bare one. It holds the same parameters.
    """
    while True:
        inner = model.module if isinstance(model, nn.DataParallel) else getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def sharding(model: nn.Module) -> str | None:
    """Return what has cut a model's weights into parts, one for each process; None where every process holds them whole."""
    kinds = {kind.__name__ for module in model.modules() for kind in type(module).__mro__}
    if kinds & {"FullyShardedDataParallel", "FSDPModule"}:
        return "FSDP"
    parameters = [*model.parameters()]
    if any(hasattr(parameter, "ds_id") for parameter in parameters):  # what DeepSpeed marks its parameters with
        return "DeepSpeed ZeRO-3"
    return "DTensor" if any(type(parameter.data).__name__ == "DTensor" for parameter in parameters) else None


def accepted(model: nn.Module) -> frozenset[str] | None:
    """Return the names that a model's forward pass takes, decided under any wrapper; None where it takes any name."""
    parameters = _parameters(model)
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) else frozenset(parameters)


def named(model: nn.Module) -> frozenset[str]:
    """Return the names that a model's forward pass spells out, decided under any wrapper."""
    return frozenset(_parameters(model))


def core(model: nn.Module) -> nn.Module:
    """Return the bare module, without adapters of peft, too."""
    model = bare(model)
    adapted: Any = getattr(model, "get_base_model", None)
    return bare(adapted()) if callable(adapted) else model


def _parameters(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(core(model).forward).parameters


def duplicate(model: nn.Module) -> nn.Module:
    """Return a deep copy of a model that shares nothing with it.

    Activations that a module has kept, and weights that a hook computes, are copied as values: ``copy.deepcopy`` takes no
    tensor that has a graph.

    Raises:
        NotApplicable: If an attribute of a module cannot be copied, or a module is one of TorchScript.

    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise NotApplicable(
            "the model is one of TorchScript, whose weights cannot be copied for training; give the module it was made from"
        )
    try:
        return copy.deepcopy(model, _values(model))
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # whatever an attribute raises when it is copied
        raise NotApplicable(f"the model cannot be copied: {_culprit(model)} ({first_line(error)})") from None


def _values(module: nn.Module) -> dict[int, Any]:
    """Return a memo for ``copy.deepcopy`` that holds values for all tensors with a graph, by the identity of the tensor."""
    attributes = [value for part in module.modules() for value in vars(part).values()]
    graphs = [leaf for leaf in tree_leaves(attributes) if isinstance(leaf, Tensor) and leaf.grad_fn is not None]
    return {id(tensor): tensor.detach().clone() for tensor in graphs}


def _culprit(model: nn.Module) -> str:
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute == "_modules":
                continue
            try:
                copy.deepcopy(value, _values(module))
            except OUT_OF_MEMORY:
                raise
            except Exception:
                return f"attribute {'.'.join(filter(None, [name, attribute]))!r}, a {type(value).__name__}"
    return type(model).__name__
