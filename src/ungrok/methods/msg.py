"""MSG: the weights with small gradients start fresh, the others learn slowly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.errors import NotApplicable
from ungrok.core.gradients import gradient
from ungrok.core.precision import wide_type
from ungrok.core.scores import evaluating
from ungrok.methods.base import UNLEARNERS
from ungrok.methods.finetune import Finetune
from ungrok.methods.material import Material, Role, length
from ungrok.methods.scheduled import Epochs

LAYERS: dict[str, tuple[type[nn.Module], ...]] = {"convolutions": (nn.Conv2d,), "all": (nn.Conv2d, nn.Linear)}
"""By the setting ``layers``: those whose weights start fresh in part."""


def smallest(values: Tensor, share: float) -> Tensor:
    """Return where the absolute values are among the smallest share, of equal ones the first; bool, shape of ``values``.

    Args:
        values: Of any shape.
        share: In [0, 1]; the count is rounded.

    """
    chosen = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
    chosen[values.abs().flatten().argsort(stable=True)[: round(share * values.numel())]] = True
    return chosen.view(values.shape)


@dataclass(frozen=True)
class Gates:
    """What MSG keeps along a path.

    Args:
        factors: Weights, and by what their gradients are multiplied, of the same shape.
        epochs: Of the path.

    """

    factors: list[tuple[nn.Parameter, Tensor]]
    epochs: Epochs


@UNLEARNERS.register
class MSG(Finetune):
    """Give fresh weights where forget and retain data pull alike, and fine-tune on the retain set, the other weights slowly.

    Formula: with ``g = Σ ∇L(r) − Σ ∇L(f)`` over the forget batches and as many retain batches, the share of each layer's weights with the
    smallest ``|g|`` is drawn anew from ``N(0, 2/fan_out)``. Then minimize ``L(r)`` over retain batches, the gradients of that layer's other
    weights times ``slow``. In epoch e of E the rate is ``lr·e/A`` up to A = ⌊(E + 1)/2⌋, and then ``lr·(E + 1 − e)/(E + 1 − A)``.
    Paper: Cadet et al. 2024 (arXiv 2410.01276), "Masked Small Gradients"; the second of the NeurIPS 2023 unlearning challenge.
    Public source: xcadet/deepunlearn (no licence), ``KGLTop2.unlearn``.
    Deviations: the source draws as many retain examples as there are forget examples; here as many batches, the first. It takes g in
    the mode of the model handed in; here in eval mode. It draws the biases of convolutions anew, by the default of the layer; here
    they stay. ``layers="all"``, for networks without convolutions, is ours.
    Defaults: share 0.3, slow 0.1, SGD 1e-3, momentum 0.9, weight decay 5e-4, 5 epochs, as in the source (batch 64).
    Cost: one pass over the retain data per epoch; before, one over the forget data and as many retain batches.
    """

    inputs: ClassVar[tuple[str, ...]] = ("classifier",)
    reads: ClassVar[tuple[Role, ...]] = ("forget", "retain")
    from_scratch: ClassVar[bool] = True
    kind: Literal["msg"] = "msg"  # type: ignore[assignment]
    lr: float = Field(1e-3, gt=0, description="highest learning rate, in the middle of the path")
    share: float = Field(0.3, ge=0, le=1, description="share of each layer's weights that start fresh")
    slow: float = Field(
        0.1, ge=0, le=1, description="by what the gradients of the layer's other weights are multiplied"
    )
    layers: Literal["convolutions", "all"] = Field("convolutions", description="all: linear layers, too")
    default_epochs: ClassVar[int] = 5

    def weights(self, model: nn.Module) -> list[nn.Parameter]:
        """Return the weights of the layers that start fresh in part, each once; biases and frozen weights are left out."""
        layers = [layer for layer in model.modules() if isinstance(layer, LAYERS[self.layers])]
        weights = {id(layer.weight): layer.weight for layer in layers}
        return [w for w in weights.values() if isinstance(w, nn.Parameter) and w.requires_grad]

    def check(self, material: Material) -> None:
        """Refuse a model without such layers."""
        if not self.weights(material.model):
            more = ' with layers="all" it takes linear layers, too' if self.layers == "convolutions" else ""
            raise NotApplicable(
                f"msg: the model has no {'convolution;' if more else 'layer to give fresh weights'}{more}"
            )

    def begin(self, material: Material) -> Gates:
        """Give fresh weights to the share with the smallest gradients."""
        weights, draw = self.weights(material.model), material.generator("fresh weights")
        factors = []
        for weight, g in zip(weights, self.contrast(material, weights), strict=True):
            fresh, drawn = smallest(g, self.share), torch.empty(weight.shape, dtype=wide_type(weight.dtype))
            nn.init.kaiming_normal_(drawn, mode="fan_out", nonlinearity="relu", generator=draw)
            with torch.no_grad():
                weight.copy_(torch.where(fresh, drawn.to(weight), weight))
            factors.append((weight, torch.full_like(g, self.slow).masked_fill_(fresh, 1)))
        return Gates(factors, Epochs.of(self, material))

    def contrast(self, material: Material, weights: list[nn.Parameter]) -> list[Tensor]:
        """Return ``Σ ∇L(r) − Σ ∇L(f)`` over the forget batches and as many retain batches, by weight, float32 at least."""
        signs: dict[Role, int] = {"retain": 1, "forget": -1}
        total = [torch.zeros_like(w, dtype=wide_type(w.dtype)) for w in weights]
        with evaluating(material.model):
            for role, sign in signs.items():
                for batch in islice(material.batches(role), length(material.forget)):
                    for value, g in zip(total, gradient(material.mean_loss(batch), weights), strict=True):
                        value.add_(g, alpha=sign)
        return total

    def before_update(self, material: Material[Gates], optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """Slow the weights that did not start fresh."""
        for weight, factor in material.state.factors:
            if weight.grad is not None:
                weight.grad.mul_(factor)

    def rate(self, material: Material[Gates], update: int) -> float:
        """Return the learning rate of the epoch, which rises and falls."""
        epochs = material.state.epochs
        epoch, after = epochs.at(update), epochs.total + 1
        top = after // 2
        return self.lr * (epoch / top if epoch <= top else (after - epoch) / (after - top))
