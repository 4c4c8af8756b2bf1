"""Unlearning in the last blocks: catastrophic forgetting-k and exact unlearning-k."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ungrok.core.errors import NotApplicable
from ungrok.unlearn.base import UNLEARNERS, Iterative, Material, length

NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)


def blocks(model: nn.Module) -> list[list[str]]:
    """Return the blocks of a model, first to last, each as the names of its modules.

    A block is a direct child with parameters; a lone child is looked into; a normalization layer belongs to the block
    before it.
    """
    prefix, here = "", model
    while True:
        children = [(name, child) for name, child in here.named_children() if any(True for _ in child.parameters())]
        if len(children) != 1 or not any(True for _ in children[0][1].children()):
            break
        prefix, here = f"{prefix}{children[0][0]}.", children[0][1]
    found: list[list[str]] = []
    for name, child in children:
        if isinstance(child, NORMS) and found:
            found[-1].append(prefix + name)
        else:
            found.append([prefix + name])
    return found


class LastBlocks(Iterative):
    """What both methods share: everything before the last k blocks stays as it is."""

    lr: float = Field(1e-2, gt=0, description="learning rate")
    k: int = Field(1, ge=1, description="number of blocks, from the last, that are trained")
    default_epochs: ClassVar[int] = 10

    def names(self, model: nn.Module) -> list[str]:
        """Return the names of the modules in the last k blocks.

        Raises:
            NotApplicable: If the model has fewer blocks.

        """
        found = blocks(model)
        if len(found) < self.k:
            raise NotApplicable(f"{self.kind}: k = {self.k}, but the model has only {len(found)} blocks")
        return [name for block in found[-self.k :] for name in block]

    def check(self, material: Material) -> None:
        """Refuse a model with fewer than k blocks."""
        self.names(material.model)

    def trainable(self, model: nn.Module) -> list[nn.Parameter]:
        """Return the parameters of the last k blocks, those frozen by the caller left out."""
        chosen = [model.get_submodule(name) for name in self.names(model)]
        return [p for module in chosen for p in module.parameters() if p.requires_grad]

    def set_mode(self, model: nn.Module) -> None:
        """Put the last k blocks into training mode; running statistics of frozen blocks must not move either."""
        super().set_mode(model)
        names = self.names(model)
        for name, module in model.named_modules():
            if isinstance(module, _BatchNorm) and not any(name == n or name.startswith(f"{n}.") for n in names):
                module.eval()

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of retain batches."""
        return length(material.retain)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield ``L(r)`` over the retain batches in order."""
        for batch in material.endless("retain"):
            yield material.mean_loss(batch)


@UNLEARNERS.register
class CatastrophicForgettingK(LastBlocks):
    """Fine-tune only the last k blocks on the retain set, and count on them to forget.

    Formula: minimize ``L(r)`` over the parameters of the last k blocks.
    Paper: Goel et al. 2022 (arXiv 2201.06640), CF-k.
    Public source: meghdadk/SCRUB, ``CF-k``.
    Deviations: batch-norm statistics of frozen blocks stay too.
    Defaults: k 1; lr 0.01, 10 epochs, as in the source.
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    kind: Literal["catastrophic_forgetting_k"] = "catastrophic_forgetting_k"


@UNLEARNERS.register
class ExactUnlearningK(LastBlocks):
    """Give the last k blocks fresh weights and train only those on the retain set.

    Formula: as catastrophic forgetting-k, from ``factory()``'s weights in the last k blocks.
    Paper: Goel et al. 2022 (arXiv 2201.06640), EU-k.
    Public source: meghdadk/SCRUB, ``EU-k``.
    Deviations: batch-norm statistics of frozen blocks stay too.
    Defaults: k 1; lr 0.01, 10 epochs, as in the source.
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    needs: ClassVar[tuple[str, ...]] = ("retain", "factory")
    kind: Literal["exact_unlearning_k"] = "exact_unlearning_k"

    def begin(self, material: Material) -> None:
        """Copy fresh weights and buffers into the last k blocks; frozen parameters stay."""
        fresh = material.fresh()
        for name in self.names(material.model):
            material.renew(material.model.get_submodule(name), fresh.get_submodule(name))
