"""Sharpness: how far the loss rises within a ball around the weights, plain (SAM) and invariant to rescaling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.analyze.base import ANALYSES, Analysis, Null, Reading, Subject, chunks, pool, select
from ungrok.analyze.gradients import mean_gradient
from ungrok.analyze.operators import flat, parameters, split
from ungrok.core.objective import Batch, Objective
from ungrok.core.seeds import generator
from ungrok.train.sam import come_back


@torch.no_grad()
def mean_loss(model: nn.Module, batches: Sequence[Batch], objective: Objective) -> float:
    """Return the mean loss over all examples, added up in float64."""
    total = sum(objective.losses(objective.logits(model, b), b).double().sum().item() for b in batches)
    return total / sum(map(objective.size, batches))


class Moved:
    """Moves a model's weights by vectors and puts them back exactly.

    Args:
        model: Its weights are restored when the ``with`` block ends.

    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights = parameters(model)
        self.start = [w.detach().clone() for w in self.weights]

    def __enter__(self) -> Moved:
        return self

    @torch.no_grad()
    def to(self, step: Tensor) -> None:
        """Set the weights to start + step; float64, shape (p,)."""
        for weight, start, part in zip(self.weights, self.start, split(step, self.weights), strict=True):
            weight.copy_(start + part)

    def __exit__(self, *_: object) -> None:
        come_back(self.weights, self.start)


def ascent(
    model: nn.Module, batches: Sequence[Batch], objective: Objective, radius: float, scale: Tensor | None, steps: int
) -> float:
    """Return how far the loss rises along gradient ascent in a ball: ``L(θ + ε) − L(θ)``.

    The ball is ``‖ε/scale‖ ≤ radius``. One step goes to its edge, ``ε = r·s²g/‖s·g‖`` (SAM with s = 1: Foret et al. 2021,
    arXiv 2010.01412; ASAM with ``s = |θ|``: Kwon et al. 2021, arXiv 2102.11600, without its offset, which would break the
    invariance). More steps go 2.5·r/steps at a time (Madry et al. 2018), projected onto the ball; the largest rise counts.

    Cost: ``steps`` gradients and ``steps`` + 1 forward passes over the data.

    Args:
        model: In eval mode; its weights are put back.
        batches: On the model's device.
        objective: Its loss rises.
        radius: r.
        scale: s, float64, shape (p,), non-negative; 1 when None.
        steps: Gradient steps.

    """
    s = torch.ones(sum(w.numel() for w in parameters(model)), dtype=torch.float64) if scale is None else scale
    start, rises = mean_loss(model, batches, objective), [0.0]
    step = torch.zeros_like(s)
    length = radius if steps == 1 else 2.5 * radius / steps
    with Moved(model) as moved:
        for _ in range(steps):
            g = s * flat(list(mean_gradient(model, batches, objective).values()))
            if not g.norm() > 0:
                break
            step = step + length * g / g.norm()
            norm = float(step.norm())
            if norm > radius:
                step = step * (radius / norm)
            moved.to(s * step)
            rises.append(mean_loss(model, batches, objective) - start)
    return rises[-1] if steps == 1 else max(rises)


def average_rise(
    model: nn.Module,
    batches: Sequence[Batch],
    objective: Objective,
    radius: float,
    scale: Tensor,
    draws: int,
    seed: int,
) -> float:
    """Return the mean rise of the loss under noise, ``E L(θ + r·s·z) − L(θ)``, z standard normal.

    Source: Andriushchenko et al. 2023 (arXiv 2302.07011), average-case adaptive sharpness with ``s = |θ|``.
    Cost: ``draws`` + 1 forward passes.
    """
    start, total = mean_loss(model, batches, objective), 0.0
    draw = generator(seed, "average rise")
    with Moved(model) as moved:
        for _ in range(draws):
            moved.to(radius * scale * torch.randn(len(scale), generator=draw, dtype=torch.float64))
            total += mean_loss(model, batches, objective) - start
    return total / draws


@ANALYSES.register
class Sharpness(Analysis):
    """Rise of the loss within a ball: SAM's, and two that do not change where one layer is scaled up and the next down.

    ``sam_sharpness``: one step of length ``radius``; ``adaptive_sharpness``: the largest rise on ``steps`` steps in the ball
    of ``adaptive_radius`` scaled by ``|weights|``; ``adaptive_average``: mean rise under noise of that scale.
    Null ``retain_subset`` (on forget): random retain subsets of the forget set's size.
    Source: arXiv 2010.01412, 2102.11600, 2302.07011.
    Cost: per set and draw 1 + ``steps`` gradients and about ``noise`` + ``steps`` forward passes.
    """

    kind: Literal["sharpness"] = "sharpness"
    examples: int = Field(1000, ge=2, description="forget and retain examples together; more are sampled down")
    radius: float = Field(0.05, gt=0, description="of SAM's ball, in the weights' own unit")
    adaptive_radius: float = Field(0.5, gt=0, description="of the ball scaled by |weights|, no unit")
    noise_radius: float = Field(0.05, gt=0, description="relative noise of every weight")
    steps: int = Field(10, ge=1, description="gradient steps of the adaptive ascent")
    noise: int = Field(10, ge=1, description="draws of the noise")
    draws: int = Field(5, ge=0, description="draws of the null")
    chunk: int = Field(500, ge=1, description="examples per pass")

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield three readings for forget, retain and both."""
        whole, forget, retain = pool(subject, self.examples)
        draw = generator(subject.seed, "control", "sharpness")
        count = self.draws if len(forget) < len(retain) else 0
        subsets = [retain[torch.randperm(len(retain), generator=draw)[: len(forget)]] for _ in range(count)]
        null = [self._of(subject, select(whole, index), len(index)) for index in subsets]
        for on, index in (("forget", forget), ("retain", retain), ("forget+retain", torch.cat([forget, retain]))):
            for name, value in self._of(subject, select(whole, index), len(index)).items():
                nulls = {"retain_subset": Null.of([rises[name] for rises in null])} if on == "forget" and null else {}
                yield Reading(name, on, value, "loss", examples=len(index), nulls=nulls)

    def _of(self, subject: Subject, batch: Batch, count: int) -> dict[str, float]:
        model, objective = subject.model, subject.objective
        parts, scale = list(chunks(batch, count, self.chunk)), flat(parameters(model)).abs()
        return {
            "sam_sharpness": ascent(model, parts, objective, self.radius, None, 1),
            "adaptive_sharpness": ascent(model, parts, objective, self.adaptive_radius, scale, self.steps),
            "adaptive_average": average_rise(
                model, parts, objective, self.noise_radius, scale, self.noise, subject.seed
            ),
        }
