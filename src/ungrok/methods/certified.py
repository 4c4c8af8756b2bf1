"""What the methods have in common that certify: weights clipped around a start, and noise."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ungrok.core.accountant import Certificate, Promise
from ungrok.core.errors import NotApplicable
from ungrok.core.gradients import trainable
from ungrok.core.modules import bare
from ungrok.core.precision import wide, wide_type
from ungrok.methods.finetune import Finetune
from ungrok.methods.material import Material


@dataclass(frozen=True)
class Noise:
    """The noise of one path.

    Args:
        sigma: σ, its standard deviation.
        draw: On the CPU; every call moves it.

    """

    sigma: float
    draw: torch.Generator

    def like(self, weight: Tensor) -> Tensor:
        """Return noise in the shape of a weight, in float32 at least."""
        noise = torch.randn(weight.shape, generator=self.draw, dtype=wide_type(weight.dtype))
        return self.sigma * noise.to(weight.device)


class Certified(Finetune):
    """Fine-tuning on the retain set, from weights that two models, with and without the forget set, share but for a known distance.

    ``base`` is the start: a model that depends on no data, such as the initialization, or on none of the forget set, such as a
    pretrained one. Buffers, running statistics for instance, are set back to the start's. Frozen parameters must be the start's.
    """

    needs: ClassVar[tuple[str, ...]] = ("retain", "base")
    self_stopping: ClassVar[bool] = (
        True  # stopping where UA is low would look at the forget set, which no certificate covers
    )
    from_any_start: ClassVar[bool] = True
    clip: float = Field(1.0, gt=0, description="C0, largest distance of the weights from the start's, over all weights")
    epsilon: float | None = Field(None, gt=0, description="ε to certify, by which the noise is chosen; 1 when null")
    delta: float = Field(1e-5, gt=0, lt=1, description="δ at which ε is certified")
    sigma: float | None = Field(None, gt=0, description="σ of the noise on each weight; give this or epsilon")
    default_epsilon: ClassVar[float] = 1.0

    @model_validator(mode="after")
    def _one_noise(self) -> Any:
        if self.epsilon is not None and self.sigma is not None:
            raise ValueError(f"epsilon {self.epsilon} and sigma {self.sigma}: give either epsilon or sigma")
        return self

    @property
    def wanted(self) -> float:
        """The ε by which the noise is chosen where σ is not given."""
        return self.epsilon or self.default_epsilon

    @abstractmethod
    def noise(self, updates: int) -> float:
        """Return σ of a path of that many updates."""

    @abstractmethod
    def certificate(self, updates: int) -> Certificate:
        """Return what such a path certifies."""

    def promise(self, updates: int) -> Promise:
        """Return the noise and what it certifies."""
        return Promise.of(self.certificate(updates), self.noise(updates), self.delta)

    def check(self, material: Material) -> None:
        """Refuse frozen parameters that training has moved: the noise would not cover them."""
        start = {} if material.base is None else dict(bare(material.base).named_parameters())
        for name, weight in bare(material.original).named_parameters():
            if not weight.requires_grad and name in start and not torch.equal(weight, start[name].to(weight.device)):
                raise NotApplicable(
                    f"{self.kind}: the frozen parameter {name} is not that of base, so that nothing could be certified of it"
                )

    @torch.no_grad()
    def begin(self, material: Material) -> Noise:
        """Clip the weights around the start, add the noise, and return where further noise comes from."""
        assert material.base is not None
        live, start = trainable(material.model), dict(bare(material.base).named_parameters())
        buffers = dict(bare(material.base).named_buffers())
        for name, buffer in material.model.named_buffers():
            buffer.copy_(buffers[name])
        centers = {name: wide(start[name].to(weight.device)) for name, weight in live.items()}
        moved = {name: wide(weight) - centers[name] for name, weight in live.items()}
        share = clipping(moved.values(), self.clip)
        noise = Noise(self.noise(int(self.budget(material))), material.generator("noise"))
        for name, weight in live.items():
            weight.copy_(centers[name] + share * moved[name] + noise.like(weight))
        return noise


def clipping(tensors: Iterable[Tensor], most: float) -> float:
    """Return the factor, at most 1, that brings the norm of several tensors together down to ``most``."""
    norm = torch.stack([tensor.double().square().sum() for tensor in tensors]).sum().sqrt().item()
    return min(1.0, most / norm) if norm else 1.0
