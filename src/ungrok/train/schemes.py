"""Schemes that prepare for deletion during training: several models, each trained in parts on data of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.errors import RecipeError
from ungrok.core.registry import Registry
from ungrok.core.schema import Schema
from ungrok.core.seeds import derive


@dataclass(frozen=True)
class Part:
    """A stretch of a model's training on the same examples.

    Args:
        examples: int64 indices into the training examples, increasing; those of all earlier parts are among them.
        until: Number of updates of the model after it.

    """

    examples: Tensor
    until: int


Member = tuple[Part, ...]
"""The training of one model of a scheme: its parts, one after another."""


class Scheme(Schema):
    """A way to train so that later only what a deletion request touches need be trained again.

    Where a member's examples are asked for, its training goes back to the part before the first that read one of them, and on from there
    without them. The outcome is what training without them would have given, so that forgetting is exact.
    """

    kind: str
    name: str | None = Field(None, description="label in tables; the kind when null")
    steps: int | None = Field(
        None, ge=1, description="updates of all models together; those of the trajectory when null"
    )

    @property
    def label(self) -> str:
        """The name shown in tables."""
        return self.name or self.kind

    @abstractmethod
    def members(self, examples: int, steps: int, seed: int) -> list[Member]:
        """Return what each model is trained on.

        Args:
            examples: Number of training examples.
            steps: Updates that one model would make on all of them.
            seed: The only source of randomness.

        Raises:
            RecipeError: If there are too few examples or updates.

        """

    @abstractmethod
    def combined(self, models: Sequence[nn.Module], *, values: bool) -> nn.Module:
        """Return the models as one.

        Args:
            models: Classifiers of the same classes.
            values: Whether their outputs are themselves estimates of the class's indicator, as after training by squared error, and not logits.

        """


SCHEMES: Registry[Scheme] = Registry("scheme", "ungrok.schemes", ("ungrok.train", "SCHEMES.register"), Scheme)


@SCHEMES.register
class SISA(Scheme):
    """Shards that are trained apart, each slice by slice (Bourtoule et al., arXiv 1912.03817).

    The examples are dealt at random to S shards of sizes that differ by at most one, and those of a shard to R slices likewise. A shard's model
    makes its share of the updates: of T updates on N examples, T·n/N on n. Part k of its training reads slices 1 to k, and has k/(1 + … + R)
    of these updates. With S = R = 1 this is one model trained as ever, and a request retrains it.
    """

    kind: Literal["sisa"] = "sisa"
    shards: int = Field(5, ge=1, description="S, number of models")
    slices: int = Field(1, ge=1, description="R, parts of each model's training")
    combine: Literal["mean", "vote"] = Field(
        "mean", description="the mean of the models' probabilities, or the class that most of them predict"
    )

    def members(self, examples: int, steps: int, seed: int) -> list[Member]:
        """Return the shards."""
        if self.shards * self.slices > examples:
            raise RecipeError(
                f"schemes: {self.label}: {self.shards} shards of {self.slices} slices of {examples} training examples; allowed: at most one slice per example"
            )
        if self.shards == self.slices == 1:
            order = torch.arange(examples)
        else:
            order = torch.randperm(examples, generator=torch.Generator().manual_seed(derive(seed, "shards")))
        return [self._member(shard, round(steps * len(shard) / examples)) for shard in order.tensor_split(self.shards)]

    def _member(self, shard: Tensor, steps: int) -> Member:
        total = self.slices * (self.slices + 1) // 2
        if steps < total:
            raise RecipeError(
                f"schemes: {self.label}: {steps} updates for a shard of {self.slices} slices; allowed: at least {total}, of which the first slice has one"
            )
        slices, parts = shard.tensor_split(self.slices), []
        for count in range(1, self.slices + 1):
            read = torch.cat(slices[:count]).sort().values
            parts.append(Part(read, round(steps * count * (count + 1) / 2 / total)))
        return tuple(parts)

    def combined(self, models: Sequence[nn.Module], *, values: bool) -> nn.Module:
        """Return an :class:`Ensemble`."""
        return Ensemble(models, vote=self.combine == "vote", values=values)


class Ensemble(nn.Module):
    """Several classifiers as one.

    Its outputs are logarithms of the mean of their probabilities; with ``values``, which are no logits, the mean itself. Where they vote, the
    probability of a class is ``(votes + mean)/(S + 1)``, so that the mean decides between classes with equally many votes. One model alone is itself.

    Args:
        models: The classifiers.
        vote: Whether they vote.
        values: As for :meth:`Scheme.combined`.

    """

    def __init__(self, models: Sequence[nn.Module], *, vote: bool = False, values: bool = False) -> None:
        super().__init__()
        self.models, self.vote, self.values = nn.ModuleList(models), vote, values

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs of shape (n, classes)."""
        if len(self.models) == 1:
            alone: Tensor = self.models[0](inputs)
            return alone
        outputs = torch.stack([model(inputs) for model in self.models])
        mean = (outputs if self.values else outputs.softmax(-1)).mean(0)
        if self.vote:
            votes = nn.functional.one_hot(outputs.argmax(-1), outputs.shape[-1]).sum(0)
            mean = (votes + mean) / (len(self.models) + 1)
        return mean if self.values else mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
