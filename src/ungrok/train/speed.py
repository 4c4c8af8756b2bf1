"""Faster updates: memory layout, bfloat16, compilation, CUDA graphs; evaluation runs in float32 on the plain model unless ``scores`` is set."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Objective
from ungrok.core.precision import autocast
from ungrok.core.schema import Schema


def native_bfloat16() -> bool | None:
    """Return whether this processor calculates in bfloat16 itself; None where PyTorch does not tell.

    One that does not gives sound results through float32, in more time than float32 itself would take.
    """
    tell = getattr(torch.cpu, "get_capabilities", None)
    return any(there for name, there in tell().items() if name.endswith("bf16")) if tell else None


class Speed(Schema):
    """How updates are computed; the loss curve stays the same within the tolerances that the tests hold."""

    optional: ClassVar[frozenset[str]] = frozenset({"scores"})

    channels_last: bool = Field(False, description="kernels and activations of convolutions in channels-last order")
    bfloat16: bool = Field(False, description="autocast the model's passes to bfloat16; weights and loss stay float32")
    scores: bool = Field(
        False,
        description="take scores by passes in bfloat16 too: of trajectories, oracles, paths and attacks; a language model's losses move by some thousandths of a nat",
    )
    compile: bool = Field(False, description="torch.compile; the first updates take up to a minute longer")
    cuda_graphs: bool = Field(False, description="replay captured CUDA graphs; only with device: cuda")

    def check(self, device: torch.device) -> None:
        """Raise RecipeError where an option does not work on this device."""
        if self.cuda_graphs and device.type != "cuda":
            raise RecipeError(f"trajectory.speed.cuda_graphs: true needs device cuda, not {device.type}")

    def prepare(self, model: nn.Module) -> None:
        """Put a model into the memory layout, in place; convolutions then bring their input into it."""
        if self.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=not self.cuda_graphs)

    def scorer(self, objective: Objective, device: torch.device) -> Objective:
        """Return the objective by which scores are taken."""
        return autocast(objective, device) if self.scores else objective

    def forward(self, model: nn.Module, batch_size: int) -> Callable[..., Any]:
        """Return what takes the model's place in updates; it shares the model's parameters and mode."""
        if self.compile:
            mode = "reduce-overhead" if self.cuda_graphs else None
            return torch.compile(model, dynamic=False, mode=mode)
        return _Graphed(model, batch_size, self) if self.cuda_graphs else model


class UnlearningSpeed(Schema):
    """How the passes of unlearning are computed."""

    optional: ClassVar[frozenset[str]] = frozenset({"attacks"})

    bfloat16: bool = Field(
        False, description="autocast the model's passes to bfloat16; weights and losses stay float32"
    )
    attacks: bool = Field(False, description="do so where an attack or a repair after unlearning trains the model, too")

    @model_validator(mode="after")
    def _something(self) -> UnlearningSpeed:
        if self.attacks and not self.bfloat16:
            raise ValueError("attacks: true says of attacks what bfloat16 says of unlearning; it needs bfloat16: true")
        return self

    @property
    def unlearning(self) -> UnlearningSpeed:
        """What a path is made with, whatever comes after it."""
        return UnlearningSpeed(bfloat16=self.bfloat16)

    @property
    def after(self) -> UnlearningSpeed:
        """What attacks and repairs are made with."""
        return UnlearningSpeed(bfloat16=self.attacks)

    def objective(self, objective: Objective, device: torch.device) -> Objective:
        """Return the objective that runs a model so; scores are not taken by it."""
        return autocast(objective, device) if self.bfloat16 else objective


class _Body(nn.Module):
    """A module around a model, so that capturing its graph leaves the model itself as it is."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Any:
        return self.model(inputs)


class _Graphed:
    """A model whose passes over full batches are replayed from a graph; any other batch runs as usual."""

    def __init__(self, model: nn.Module, batch_size: int, speed: Speed) -> None:
        self.model, self.batch_size, self.speed = model, batch_size, speed
        self.replay: Callable[[Tensor], Any] | None = None

    def __call__(self, inputs: Tensor) -> Any:
        if len(inputs) != self.batch_size:
            return self.model(inputs)
        if self.replay is None:
            # Capturing runs the model a few times, which batch normalization would remember.
            before = {name: value.clone() for name, value in self.model.named_buffers()}
            self.replay = torch.cuda.make_graphed_callables(_Body(self.model), (inputs.clone(),))
            with torch.no_grad():
                for name, value in self.model.named_buffers():
                    value.copy_(before[name])
        return self.replay(inputs)
