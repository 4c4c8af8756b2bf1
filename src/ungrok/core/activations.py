"""What goes into and comes out of every activation function of a network, whatever way it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ungrok.core.objective import Batch, Family, Objective

RECTIFIERS: set[Any] = {
    F.relu, F.relu_, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.hardswish,
    torch.relu, torch.relu_, Tensor.relu, Tensor.relu_,
}  # fmt: skip
"""Activations whose units are on for one sign of the input and off for the other; smooth ones are read in the same way."""

WRITTEN_OUT = ("NewGELUActivation", "FastGELUActivation", "QuickGELUActivation", "GELUTanh")
"""Modules that write a GELU as a formula, by class name."""

ROOT = "root"
"""Layer name of what belongs to no submodule."""

Visit = Callable[[str, Tensor], None]

CHUNK: dict[Family, int] = {"classifier": 256, "language": 32}
"""Examples per forward pass of :func:`features`; a language model's logits are large."""


class Watch(TorchFunctionMode):
    """Inside ``with Watch(model, ...):`` every activation of the model is shown to a function.

    Layers are named after the innermost module that is running; a second activation in the same module is ``name#2``.
    Functional calls, shared modules and in-place activations are seen alike.

    Args:
        model: Runs inside the block.
        before: Called with (layer, pre-activation).
        after: Called with (layer, activation).

    """

    def __init__(self, model: nn.Module, before: Visit | None = None, after: Visit | None = None) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after
        self._running: list[str] = []
        self._written_out: list[str] = []
        self._calls: Counter[str] = Counter()
        self._hooks: list[Any] = []

    def __enter__(self) -> Watch:
        for name, module in self.model.named_modules():
            self._hooks.append(module.register_forward_pre_hook(self._enter(name)))
            self._hooks.append(module.register_forward_hook(self._leave))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()

    def _enter(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, args: tuple[Any, ...]) -> None:
            if module is self.model:
                self._running.clear()
                self._calls.clear()
            self._running.append(name or ROOT)
            if type(module).__name__ in WRITTEN_OUT:
                self._written_out.append(self._layer())
                if self.before:
                    self.before(self._written_out[-1], args[0])

        return enter

    def _leave(self, module: nn.Module, args: Any, output: Tensor) -> None:  # noqa: ARG002
        if type(module).__name__ in WRITTEN_OUT:
            layer = self._written_out.pop()
            if self.after:
                self.after(layer, output)
        self._running.pop()

    def _layer(self) -> str:
        name = self._running[-1] if self._running else ROOT
        self._calls[name] += 1
        return name if self._calls[name] == 1 else f"{name}#{self._calls[name]}"

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in RECTIFIERS or self._written_out:
            return func(*args, **(kwargs or {}))
        layer = self._layer()
        if self.before:
            self.before(layer, args[0] if args else (kwargs or {})["input"])
        out = func(*args, **(kwargs or {}))
        if self.after:
            self.after(layer, out)
        return out


def last_linear_input(model: nn.Module, keep: Callable[[Tensor], None]) -> list[Any]:
    """Show the input of every linear layer to ``keep``, in order; return the hooks, to be removed by the caller.

    A low-rank adapter (LoRA) belongs to the layer beside which it stands.
    """
    linear = [m for name, m in model.named_modules() if isinstance(m, nn.Linear) and "lora_" not in name]
    return [module.register_forward_pre_hook(lambda _, args: keep(args[0])) for module in linear]


@torch.no_grad()
def features(
    model: nn.Module, batch: Batch, objective: Objective, *, layers: bool = True, chunk: int | None = None
) -> dict[str, Tensor]:
    """Return the features of each example in each layer.

    Args:
        model: In eval mode.
        batch: All examples, on the model's device.
        objective: Runs the model.
        layers: Whether to keep the output of every activation; otherwise only the two entries below.
        chunk: Examples per forward pass; when None that of :data:`CHUNK`.

    Returns:
        By layer in the order of the forward pass, shape (n, d), on the model's device: the outputs of the activations,
        ``penultimate`` (the input of the last linear layer that runs, absent without one) and ``logits``; of language models the
        mean over the places that predict an answer token. Memory: 4·n·(total activations) bytes.

    """
    chunk = chunk or CHUNK[objective.family]
    parts: dict[str, list[Tensor]] = {}
    last: list[Tensor] = []
    now: list[Batch] = []

    def keep(layer: str, value: Tensor) -> None:
        rows = value if layer == "logits" else objective.rows(value, now[0])
        parts.setdefault(layer, []).append(objective.by_example(rows.detach(), now[0]).clone())

    hooks = last_linear_input(model, lambda value: last.__setitem__(slice(None), [value]))
    try:
        with Watch(model, after=keep if layers else None):
            for part in objective.split(batch, chunk):
                now[:] = [part]
                logits = objective.logits(model, part)
                if last:
                    keep("penultimate", last[0])
                keep("logits", logits)
    finally:
        for hook in hooks:
            hook.remove()
    return {layer: torch.cat(values) for layer, values in parts.items()}
