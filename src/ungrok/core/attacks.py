"""Adversarial examples by projected gradient descent (Madry et al. 2018, arXiv 1706.06083)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.objective import Batch, Batches, Objective
from ungrok.core.registry import Registry
from ungrok.core.schema import Schema
from ungrok.core.scores import Scores, device_of, evaluating
from ungrok.core.seeds import generator


def margin(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how far the best wrong logit lies above the right one, shape (n,); positive where misclassified.

    Unlike cross-entropy, its gradient does not vanish as logits grow, so an overconfident model does not look robust
    (Carlini & Wagner 2017, arXiv 1608.04644, f6).
    """
    right = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    return logits.scatter(1, targets.unsqueeze(1), -torch.inf).amax(dim=1) - right


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy per example, shape (n,)."""
    return F.cross_entropy(logits, targets, reduction="none")


class Attack(Schema):
    """Projected gradient descent: steps that raise a loss, kept within ``radius`` of the input and within ``box``.

    All lengths are in units of the model's input, pixels in [0, 1] for images.
    """

    kind: str
    name: str | None = Field(None, description="label in tables; the kind when null")
    radius: float = Field(gt=0, description="largest norm of the perturbation")
    step: float = Field(gt=0, description="norm of one step")
    steps: int = Field(10, ge=1, description="gradient steps")
    random_start: bool = Field(True, description="start from a uniform draw in the ball instead of the input itself")
    loss: Literal["margin", "cross_entropy"] = Field("margin", description="what the attack raises")
    box: tuple[float, float] | None = Field((0.0, 1.0), description="range of valid inputs; no limit when null")

    @property
    def label(self) -> str:
        """The name shown in tables."""
        return self.name or self.kind

    @abstractmethod
    def start(self, shape: torch.Size, draw: torch.Generator) -> Tensor:
        """Return perturbations drawn uniformly from the unit ball, on the CPU."""

    @abstractmethod
    def direction(self, gradient: Tensor) -> Tensor:
        """Return the steepest directions of unit norm, one per example."""

    @abstractmethod
    def project(self, delta: Tensor) -> Tensor:
        """Return the nearest perturbations of norm at most ``radius``."""

    def perturb(self, model: nn.Module, batch: Batch, objective: Objective, draw: torch.Generator) -> Tensor:
        """Return adversarial inputs for a batch that lies on the model's device; the model runs in eval mode.

        Args:
            model: Any classifier.
            batch: ``(inputs, targets, ...)``; inputs float, shape (n, ...).
            objective: How a batch becomes logits.
            draw: CPU generator of the random start.

        """
        loss_of = {"margin": margin, "cross_entropy": cross_entropy}[self.loss]
        inputs: Tensor = batch[0]
        targets = objective.targets(batch)
        delta = torch.zeros_like(inputs)
        if self.random_start:
            delta = self._within(inputs, self.radius * self.start(inputs.shape, draw).to(inputs))
        with evaluating(model), torch.enable_grad():
            for _ in range(self.steps):
                delta.requires_grad_()
                logits = objective.logits(model, (inputs + delta, *batch[1:]))
                (gradient,) = torch.autograd.grad(loss_of(logits, targets).sum(), delta)
                delta = self._within(inputs, delta.detach() + self.step * self.direction(gradient))
        return inputs + delta

    def _within(self, inputs: Tensor, delta: Tensor) -> Tensor:
        delta = self.project(delta)
        return delta if self.box is None else torch.clamp(inputs + delta, *self.box) - inputs

    def scores(self, model: nn.Module, batches: Batches, objective: Objective, seed: int) -> Scores:
        """Return the scores on the adversarial inputs; their accuracy is the robust accuracy.

        Args:
            model: Any classifier.
            batches: One pass over the examples.
            objective: How a batch becomes logits and losses.
            seed: Seed of the random starts; the same seed gives the same starts for every model.

        """
        return objective.score(model, self._adversarial(model, batches, objective, seed), keep_logits=False)

    def _adversarial(self, model: nn.Module, batches: Batches, objective: Objective, seed: int) -> Iterator[Batch]:
        draw, device = generator(seed, "attack"), device_of(model)
        for raw in batches:
            batch = objective.move(raw, device)
            yield (self.perturb(model, batch, objective, draw), *batch[1:])


ATTACKS: Registry[Attack] = Registry("attack", "ungrok.attacks", base=Attack)


def _norms(delta: Tensor) -> Tensor:
    """Return the Euclidean norm per example, shaped to broadcast."""
    norms: Tensor = delta.flatten(1).norm(dim=1)
    return norms.view(-1, *[1] * (delta.ndim - 1))


@ATTACKS.register
class PGDLinf(Attack):
    """PGD in the L∞ norm.

    Defaults: radius 10/255 and 10 steps of 0.8/255. Public code for "Deep networks always grok" (Humayun et al. 2024, arXiv
    2402.15555) has 50/255 and 4/255 for inputs divided by a standard deviation near 0.2, which is the same.
    """

    kind: Literal["pgd_linf"] = "pgd_linf"
    radius: float = Field(10 / 255, gt=0, description="largest change of an input value")
    step: float = Field(0.8 / 255, gt=0, description="change of every input value in one step")

    def start(self, shape: torch.Size, draw: torch.Generator) -> Tensor:
        """Return values uniform in [−1, 1]."""
        return 2 * torch.rand(shape, generator=draw) - 1

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the sign of the gradient."""
        return gradient.sign()

    def project(self, delta: Tensor) -> Tensor:
        """Return ``delta`` clamped to ± the radius."""
        return delta.clamp(-self.radius, self.radius)


@ATTACKS.register
class PGDL2(Attack):
    """PGD in the L2 norm.

    Defaults: radius 0.5, usual for CIFAR-10, in 10 steps of 2.5·radius/steps (Madry et al. 2018).
    """

    kind: Literal["pgd_l2"] = "pgd_l2"
    radius: float = Field(0.5, gt=0, description="largest Euclidean norm of the perturbation")
    step: float = Field(0.125, gt=0, description="Euclidean norm of one step")

    def start(self, shape: torch.Size, draw: torch.Generator) -> Tensor:
        """Return points uniform in the ball: a normal direction, and a length with density ∝ r^(d−1)."""
        normal = torch.randn(shape, generator=draw)
        lengths = torch.rand(shape[0], generator=draw) ** (1 / shape[1:].numel())
        return normal / _norms(normal) * lengths.view(-1, *[1] * (len(shape) - 1))

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the gradient divided by its norm; zero where it is zero."""
        return gradient / _norms(gradient).clamp_min(torch.finfo(gradient.dtype).tiny)

    def project(self, delta: Tensor) -> Tensor:
        """Return ``delta`` shortened to the radius where it is longer."""
        return delta * (self.radius / _norms(delta).clamp_min(self.radius))
