"""What the methods that train only the last blocks of a model share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ungrok.core.errors import NotApplicable
from ungrok.methods.base import Family, Iterative
from ungrok.methods.material import Material, Role, length

NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)


def blocks(model: nn.Module) -> list[list[str]]:
    """Return the blocks of a model, first to last, each as the names of its modules.

    A block is a direct child with parameters. A lone child is replaced by its own children; a normalization layer belongs to
    the block before it.
    """
    prefix, here = "", model
    while True:
        children = [(name, child) for name, child in here.named_children() if any(True for _ in child.parameters())]
        if len(children) != 1 or not any(True for _ in children[0][1].children()):
            break
        prefix, here = f"{prefix}{children[0][0]}.", children[0][1]
    names: list[list[str]] = []
    for name, child in children:
        if isinstance(child, NORMS) and names:
            names[-1].append(prefix + name)
        else:
            names.append([prefix + name])
    return names


class LastBlocks(Iterative):
    """Training on the retain set in which everything before the last k blocks stays as it is."""

    family: ClassVar[Family] = "retain"
    inputs: ClassVar[tuple[str, ...]] = ("classifier",)
    reads: ClassVar[tuple[Role, ...]] = ("retain",)
    lr: float = Field(1e-2, gt=0, description="learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum of SGD; other optimizers ignore it")
    weight_decay: float = Field(0.0, ge=0, description="added to the gradient (decoupled for adamw)")
    k: int = Field(1, ge=1, description="number of blocks, from the last, that are trained")
    default_epochs: ClassVar[int] = 10

    def names(self, model: nn.Module) -> list[str]:
        """Return the names of the modules in the last k blocks.

        Raises:
            NotApplicable: If the model has fewer blocks.

        """
        all_blocks = blocks(model)
        if len(all_blocks) < self.k:
            raise NotApplicable(f"{self.kind}: k = {self.k}, but the model has only {len(all_blocks)} blocks")
        return [name for block in all_blocks[-self.k :] for name in block]

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
