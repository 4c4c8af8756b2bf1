"""Training on, with little or nothing of what was to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, repeat
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from ungrok.audits.base import STRESS_TESTS, Dose, Rates, Setting, Shares, StressMaterial, StressStep, StressTest
from ungrok.core.errors import NotApplicable
from ungrok.core.gradients import trainable
from ungrok.core.objective import Batch
from ungrok.core.optimizers import TORCH_OPTIMIZERS
from ungrok.core.precision import Masters
from ungrok.core.scores import device_of
from ungrok.core.seeds import PrivateRandomState, derive, generator


def stream(count: int, size: int, seed: int, name: str) -> Iterator[Tensor]:
    """Yield ``size`` of ``count`` numbers again and again, int64: shuffled passes, one right after another.

    Args:
        count: Numbers 0 to ``count − 1``.
        size: Numbers each time, at most ``count``.
        seed: Seed of the shuffles.
        name: What is shuffled.

    """
    draw, left = generator(seed, "relearn", name), torch.zeros(0, dtype=torch.int64)
    while True:
        left = torch.cat([left, torch.randperm(count, generator=draw)])
        *whole, left = left.tensor_split(tuple(range(size, len(left) + 1, size)))
        yield from whole


def log_spaced(last: int) -> tuple[int, ...]:
    """Return 1, 2, 5, 10, 20, 50, ... up to ``last``, which is among them."""
    every = (digit * 10**power for power in range(len(str(last))) for digit in (1, 2, 5))
    return (*(number for number in every if number < last), last)


LR, BATCH = (0.005, 0.01, 0.02), 64
"""Learning rates and batch size where none are given: a grid by factors of 2, the strongest counts."""


@STRESS_TESTS.register
class Relearn(StressTest):
    """Train the model on retained data, with a small share of the forget set or none among them.

    Idea: what is only hidden comes back in a few updates, even on data that hold nothing of it; what was never learned must be learned.
    Formula: each update minimizes ``L(r ∪ h)``: h are the forget examples that the attacker holds, all of them or in turn as many as fill
    half of the batch, and r retained examples that fill the rest. UA is read on the forget examples that are held back.
    Source: shoaibahmed/vision_relearning (relearning with retained data alone); TOFU relearning attacks (arXiv 2406.13356).
    Deviations: the held examples are in every batch instead of once in a pass, which is a stronger attack; nothing is augmented.
    Defaults: SGD, momentum 0.9, batches of 64, without weight decay; rates by factors of 2 about 0.01. Batches are the same for every
    model and every rate. Parameters that are frozen stay frozen; those of few bits are trained in float32.
    Cost: ``updates`` for each share and rate.
    """

    dose: ClassVar[Dose] = "updates"
    kind: Literal["relearn"] = "relearn"
    shares: Shares = Field((0.0, 0.01, 0.05, 0.1), description="shares of the forget set that the attacker holds")
    lr: Rates = Field(LR, description="learning rates; the strongest counts")
    updates: int = Field(200, ge=0, description="length of each path")
    observe: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, min_length=1, description="updates after which the model is read; log-spaced when null"
    )
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD; AdamW ignores it")
    weight_decay: float = Field(0.0, ge=0, description="added to the gradient (decoupled for adamw)")
    batch: int = Field(BATCH, ge=2, description="examples of an update")

    @field_validator("observe")
    @classmethod
    def _reached(cls, value: tuple[int, ...] | None, info: ValidationInfo) -> Any:
        updates = info.data.get("updates")
        if value and updates is not None and max(value) > updates:
            raise ValueError(f"{max(value)} is not allowed; allowed: at most {updates}, the number of updates")
        return value

    def settings(self) -> tuple[Setting, ...]:
        """Return every share with every rate."""
        return tuple(Setting(f"share {share:g}, lr {lr:g}", share, lr) for share in self.shares for lr in self.lr)

    def observed(self, step: StressStep) -> bool:
        """Return whether a place is the first, one of ``observe``, or by default one of :func:`log_spaced`."""
        places = log_spaced(self.updates) if self.observe is None else self.observe
        return step.updates == 0 or step.updates in places

    def check(self, model: nn.Module, material: StressMaterial) -> None:  # noqa: ARG002
        """Raise NotApplicable if nothing can be trained."""
        if not trainable(model):
            raise NotApplicable(f"{self.kind}: every parameter of the model is frozen")

    def steps(self, model: nn.Module, material: StressMaterial, setting: Setting) -> Iterator[StressStep]:
        """Yield the untouched model, and after every update."""
        yield StressStep(0, 0, model)
        assert setting.share is not None
        assert setting.lr is not None
        objective, parameters = material.objective, list(trainable(model).values())
        optimizer = TORCH_OPTIMIZERS[self.optimizer](parameters, setting.lr, self.momentum, self.weight_decay)
        masters, random = Masters(parameters), PrivateRandomState(derive(material.seed, "relearn"), torch_only=True)
        signal = islice(self.signal(material, setting.share, device_of(model)), self.updates)
        modules = list(model.modules())
        for update, batch in enumerate(signal, start=1):
            if not all(module.training for module in modules):  # asking is faster than telling
                model.train()
            with random, torch.enable_grad(), masters.gathered():
                for parameter in parameters:  # as optimizer.zero_grad does in ten times as long
                    parameter.grad = None
                objective.mean(objective.losses(objective.logits(model, batch), batch), batch).backward()
            with masters.widened():
                optimizer.step()
            yield StressStep(update, update, model)

    def signal(self, material: StressMaterial, share: float, device: torch.device) -> Iterator[Batch]:
        """Yield the batches of the updates, without end: retained examples first, then those that the attacker holds."""
        objective, held = material.objective, material.held(share)
        ours = min(len(held), self.batch // 2)
        size = min(self.batch - ours, len(material.retain))
        forgotten = self._forgotten(material, held, ours, device)
        for index in stream(len(material.retain), size, material.seed, "retain"):
            batch = objective.move(material.retain.batch(index), device)
            yield objective.join(batch, next(forgotten)) if ours else batch

    def _forgotten(self, material: StressMaterial, held: Tensor, count: int, device: torch.device) -> Iterator[Batch]:
        """Yield ``count`` of the forget examples that are held, in turn, without end; the same batch where that is all of them."""
        if count == len(held):
            yield from repeat(material.objective.move(material.forget.batch(held), device))
        for index in stream(len(held), count, material.seed, "forget"):
            yield material.objective.move(material.forget.batch(held[index]), device)
