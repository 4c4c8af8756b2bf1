"""Learning rates that change along a path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from ungrok.methods.base import Iterative
from ungrok.methods.material import Material


@dataclass(frozen=True)
class Epochs:
    """The epochs of a path, for learning rates that change from one to the next.

    Args:
        updates: Updates in an epoch.
        total: Number of epochs, the last of which may be cut short.

    """

    updates: int
    total: int

    @classmethod
    def of(cls, method: Iterative, material: Material) -> Epochs:
        """Return the epochs of a method's path."""
        updates = method.updates_per_epoch(material)
        return cls(updates, -(-method.budget(material) // updates))

    def at(self, update: int) -> int:
        """Return the epoch of an update, both counted from 1."""
        return -(-update // self.updates)


class Scheduled(Iterative):
    """A method with a warm-up, and maybe a linear decay, of its learning rate.

    At update t of T, of which the first W are the warm-up, the rate is ``lr·t/W`` up to W and then ``lr``, or with
    ``schedule: linear`` ``lr·(T − t + 1)/(T − W)``, so that the last update has a rate of its own and the next would have none.

    Source: ``get_linear_schedule_with_warmup`` of transformers, by which locuslab/open-unlearning trains; its warm-up begins with an
    update at rate 0, and is one update behind.
    """

    warmup_epochs: float = Field(0.0, ge=0, description="epochs in which the learning rate rises from 0")
    schedule: Literal["constant", "linear"] = Field("constant", description="how it goes on: it stays, or falls to 0")

    def rate(self, material: Material, update: int) -> float:
        """Return the learning rate of an update, counted from 1."""
        warmup = self.warmup_epochs * self.updates_per_epoch(material) if self.warmup_epochs else 0.0
        if update <= warmup:
            return self.lr * min(1.0, update / warmup)
        if self.schedule == "constant":
            return self.lr
        total = self.budget(material)
        return self.lr * min(1.0, (total - update + 1) / (total - warmup))
