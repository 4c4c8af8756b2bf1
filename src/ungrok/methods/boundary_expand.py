"""Boundary expansion: a shadow class that swallows the forget set and is then dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.errors import NotApplicable
from ungrok.methods.base import UNLEARNERS, Family, Iterative
from ungrok.methods.material import Material, Role, length


def last_linear(model: nn.Module) -> nn.Linear:
    """Return the last linear layer.

    Raises:
        NotApplicable: If there is none.

    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise NotApplicable("boundary_expand: the model has no linear layer to add an output to")
    return layers[-1]


@dataclass(frozen=True)
class Shadow:
    """The class that is added.

    Args:
        layer: The model's last linear layer.
        row: Gives the class's logit from the layer's input; trained along.

    """

    layer: nn.Linear
    row: nn.Linear


@UNLEARNERS.register
class BoundaryExpand(Iterative):
    """Add one output, teach the forget set to belong to it, and drop it again.

    Formula: minimize ``CE([θ(f), w·h + b], C)``, h the input of the last linear layer, (w, b) a fresh row for class C that is
    trained along and never part of the model handed back.
    Paper: Chen et al. 2023 (arXiv 2303.11570).
    Public source: OPTML-Group/Unlearn-Saliency, ``boundary_ex``.
    Deviations: the row lives beside the model instead of in a widened layer, and is dropped; the source hands back C + 1 outputs.
    Defaults: 10 epochs as in the source; lr 1e-5, as its users report (its command line has 0.01). Cross-entropy is used whatever the objective, since the class is new.
    Cost: one pass over the forget data per epoch, none over the retain data.
    """

    family: ClassVar[Family] = "relabeling"
    inputs: ClassVar[tuple[str, ...]] = ("classifier",)
    needs: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[Role, ...]] = ("forget",)
    kind: Literal["boundary_expand"] = "boundary_expand"
    lr: float = Field(1e-5, gt=0, description="learning rate")
    default_epochs: ClassVar[int] = 10

    def check(self, material: Material) -> None:
        """Refuse a model without a linear layer."""
        last_linear(material.model)

    def begin(self, material: Material) -> Shadow:
        """Return the extra row, initialized as a linear layer of its own."""
        layer = last_linear(material.model)
        row = nn.Linear(layer.in_features, 1, bias=layer.bias is not None)
        with torch.no_grad():
            bound, draw = layer.in_features**-0.5, material.generator("row")
            for parameter in row.parameters():
                parameter.uniform_(-bound, bound, generator=draw)
        return Shadow(layer, row.to(layer.weight))

    def extra_parameters(self, material: Material[Shadow]) -> list[nn.Parameter]:
        """Return the parameters of the extra row."""
        return list(material.state.row.parameters())

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of forget batches."""
        return length(material.forget)

    def losses(self, material: Material[Shadow], total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the cross-entropy of the extra class over the forget batches in order."""
        features: list[Tensor] = []
        layer = material.state.layer
        for batch in material.endless("forget"):
            if layer.out_features != material.classes:
                raise NotApplicable(
                    f"boundary_expand: the last linear layer has {layer.out_features} outputs, the model {material.classes}"
                )
            features.clear()
            hook = layer.register_forward_pre_hook(
                lambda _, args, named: features.extend((*args, *named.values())), with_kwargs=True
            )
            logits = material.objective.logits(material.model, batch)
            hook.remove()
            if [h.shape for h in features] != [(len(logits), layer.in_features)]:
                raise NotApplicable(
                    "boundary_expand: the last linear layer is not called once, with one row for each example"
                )
            widened = torch.cat([logits, material.state.row(features[0])], dim=1)
            yield F.cross_entropy(widened, torch.full((len(logits),), logits.shape[1], device=logits.device))
