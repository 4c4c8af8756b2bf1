"""The straight line from the model to another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.audits.base import STRESS_TESTS, Dose, Setting, StressMaterial, StressStep, StressTest
from ungrok.audits.weights import values, write
from ungrok.core.entrance import check_base
from ungrok.core.modules import bare


def barrier(places: Sequence[float], losses: Sequence[float | None]) -> float | None:
    """Return how far the loss rises above the straight line between its ends, in the unit of the loss; None where one is missing.

    ``max over t of L(t) − [(1 − t)·L(0) + t·L(1)]``, at least 0, since both ends lie on that line.

    Args:
        places: t in [0, 1], increasing, both ends included.
        losses: L(t).

    """
    known = [loss for loss in losses if loss is not None]
    if len(known) < len(losses):
        return None
    rise = known[-1] - known[0]
    return max((loss - known[0]) - t * rise for t, loss in zip(places, known, strict=True))


def floating(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and floating-point buffers, each once, by name."""
    buffers = {name: value for name, value in model.named_buffers() if value.is_floating_point()}
    return dict(model.named_parameters()) | buffers


@STRESS_TESTS.register
class Interpolate(StressTest):
    """Walk in a straight line from the model to the original, or to the oracle.

    Idea: where no barrier of the loss stands between the unlearned model and the original, it lies in the original's basin, and a few
    updates lead back; how soon UA rises along the line says the same.
    Formula: ``θ(t) = (1 − t)·θ_model + t·θ_other`` for parameters and floating-point buffers; see :func:`barrier`, taken of the mean
    losses on the forget and on the retain data.
    Source: linear mode connectivity and distance in weights as signs of resistance: arXiv 2505.22310.
    Deviations: t is counted from the model that is attacked.
    Cost: no updates; one evaluation for each t.
    """

    dose: ClassVar[Dose] = "t"
    counts: ClassVar[bool] = False
    kind: Literal["interpolate"] = "interpolate"
    to: Literal["original", "oracle"] = Field("original", description="the model at the other end")
    parts: int = Field(20, ge=1, description="steps of equal size from one end to the other")

    @property
    def label(self) -> str:
        """The name shown in tables."""
        return self.name or f"{self.kind}_{self.to}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The model at the other end."""
        return (self.to,)

    def check(self, model: nn.Module, material: StressMaterial) -> None:
        """Raise RecipeError if the other end has other parameters."""
        check_base(self._end(material), model, self.to)

    def _end(self, material: StressMaterial) -> nn.Module:
        end = getattr(material, self.to)
        assert isinstance(end, nn.Module)
        return bare(end)

    @torch.no_grad()
    def steps(self, model: nn.Module, material: StressMaterial, setting: Setting) -> Iterator[StressStep]:  # noqa: ARG002
        """Yield the model on its way."""
        yield StressStep(0, 0, model)
        live = floating(model)
        start, end = (
            values(live),
            {name: value.to(live[name].device) for name, value in floating(self._end(material)).items()},
        )
        for part in range(1, self.parts + 1):
            t = part / self.parts
            between = {name: torch.lerp(value.double(), end[name].double(), t) for name, value in start.items()}
            write(live, end if part == self.parts else between)
            yield StressStep(t, 0, model)

    def summary(self, rows: list[dict[str, Any]]) -> dict[str, float | None]:
        """Return the barriers on forget and on retain."""
        places = [row["dose"] for row in rows]
        return {
            f"barrier_{role}": barrier(places, [row[f"{role}_loss"] for row in rows]) for role in ("forget", "retain")
        }
