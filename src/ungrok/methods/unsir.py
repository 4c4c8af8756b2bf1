"""UNSIR: impair with error-maximizing noise, then repair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.errors import NotApplicable
from ungrok.core.forms import inputs_of
from ungrok.core.precision import Masters, wide
from ungrok.core.scores import device_of
from ungrok.methods.base import UNLEARNERS, Iterative
from ungrok.methods.material import Material, Role, length


@dataclass
class Repair:
    """Whether the repair begins with the current update."""

    begins: bool = False


@UNLEARNERS.register
class UNSIR(Iterative):
    """Learn inputs that maximize the loss of the forgotten classes, train on them under those labels, then repair on retain.

    Formula: (1) ``min_N −L(N, c) + 0.1·‖N‖²`` (mean over examples of the sum of squares) for each forgotten class c, weights
    frozen; (2) impair: minimize L over a retain batch and a noise batch together; (3) repair, with a fresh optimizer: minimize
    ``L(r)``.
    Paper: Tarun et al. 2023 (arXiv 2111.08947).
    Public source: vikram2000b/Fast-Machine-Unlearning, the notebook's cells (model in train mode, while the noise is made too).
    Deviations: the source mixes 20 copies of the noise with 1,000 retain examples per class in one shuffled pass; here every
    retain batch of the impair pass goes with the next noise batch. The source gives all noise the label 0; here it has its own.
    Defaults: 5 rounds of 8 noise steps with Adam 0.1, noise batch 256, one impair pass with Adam 0.02 and one repair pass with
    Adam 0.01, as in the source.
    Cost: two passes over the retain data; the noise costs ``noise_steps`` passes over ``noise_batch`` inputs per class.

    Only whole classes can be forgotten: a retain set with any example of a forgotten class is refused.
    """

    inputs: ClassVar[tuple[str, ...]] = ("classifier",)
    reads: ClassVar[tuple[Role, ...]] = ("retain",)
    kind: Literal["unsir"] = "unsir"
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    lr: float = Field(0.02, gt=0, description="learning rate of the impair passes")
    repair_lr: float = Field(0.01, gt=0, description="learning rate of the repair passes")
    weight_decay: float = Field(0.0, ge=0, description="added to the gradient (decoupled for adamw)")
    noise_lr: float = Field(0.1, gt=0, description="learning rate of the noise (Adam)")
    noise_steps: int = Field(40, ge=1, description="updates of the noise")
    noise_batch: int = Field(256, ge=1, description="noise inputs per class")
    impair_epochs: int = Field(1, ge=1, description="retain passes with noise; the rest of the path repairs")
    default_epochs: ClassVar[int] = 2

    def check(self, material: Material) -> None:
        """Refuse a forget set that is not made of whole classes."""
        forgotten = self._classes(material)
        for batch in material.formed("retain"):
            shared = set(material.objective.targets(batch).unique().tolist()) & set(forgotten)
            if shared:
                raise NotApplicable(
                    f"unsir forgets whole classes only; class {min(shared)} is in the forget and in the retain set"
                )

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of retain batches."""
        return length(material.retain)

    def begin(self, material: Material) -> Repair:  # noqa: ARG002
        """Return the state before the first update: no repair yet."""
        return Repair()

    def losses(self, material: Material[Repair], total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the losses of the impair passes, then of the repair passes."""
        noise = [(self._noise(material, c), c) for c in self._classes(material)]
        turn = 0
        for _ in range(self.impair_epochs):
            for batch in material.batches("retain"):
                (extra, label), targets = noise[turn % len(noise)], batch[1]
                inputs = inputs_of(batch, self.kind)
                turn += 1
                labels = torch.full((len(extra),), label, dtype=targets.dtype, device=targets.device)
                yield material.mean_loss((torch.cat([inputs, extra]), torch.cat([targets, labels])))
        material.state.begins = True
        for batch in material.endless("retain"):
            yield material.mean_loss(batch)

    def before_update(self, material: Material[Repair], optimizer: torch.optim.Optimizer) -> None:
        """Make the optimizer a fresh one where the repair begins."""
        if material.state.begins:
            optimizer.state.clear()
            material.state.begins = False

    def rate(self, material: Material, update: int) -> float:
        """Return the learning rate of the impair passes, then of the repair."""
        return self.lr if update <= self.impair_epochs * length(material.retain) else self.repair_lr

    @staticmethod
    def _classes(material: Material) -> list[int]:
        return sorted(
            {int(c) for batch in material.formed("forget") for c in material.objective.targets(batch).unique()}
        )

    def _noise(self, material: Material, label: int) -> Tensor:
        """Return inputs, shape (noise_batch, ...), whose loss under ``label`` is large for the model as it is."""
        example = inputs_of(next(material.batches("forget")), "unsir", moved=True)
        draw = material.generator(f"noise {label}")
        noise = torch.randn((self.noise_batch, *example.shape[1:]), generator=draw, dtype=example.dtype)
        noise = noise.to(device_of(material.model)).requires_grad_(True)
        labels = torch.full((self.noise_batch,), label, dtype=torch.int64, device=noise.device)
        optimizer, masters = torch.optim.Adam([noise], self.noise_lr), Masters([noise])
        for _ in range(self.noise_steps):
            loss = 0.1 * wide(noise).square().flatten(1).sum(dim=1).mean() - material.mean_loss((noise, labels))
            (noise.grad,) = torch.autograd.grad(loss, noise)
            with masters.widened():
                optimizer.step()
        return noise.detach()
