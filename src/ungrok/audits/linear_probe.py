"""A linear layer on the features of a frozen model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.audits.base import STRESS_TESTS, Dose, Setting, StressMaterial, StressStep, StressTest
from ungrok.core.activations import Watch, features, last_linear_input
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Batch
from ungrok.core.scores import device_of, evaluating
from ungrok.core.seeds import generator

PENULTIMATE = "penultimate"
"""The input of the last linear layer, as :func:`ungrok.core.activations.features` calls it."""

PENALTIES = tuple(10.0**power for power in range(-3, 5))
"""Ridge penalties, features having unit mean square; the best by leaving one out is taken."""


NEVER = -1e4
"""The logit of a class of which the attacker has no example."""


class Probed(nn.Module):
    """A frozen model up to one of its layers, and a linear layer on it.

    Args:
        body: The model; runs to its end, and its own logits are not used.
        layer: Name of the layer, as :func:`ungrok.core.activations.features` gives it.
        readout: Takes the features of an example, shape (n, d), to logits.

    """

    def __init__(self, body: nn.Module, layer: str, readout: nn.Linear) -> None:
        super().__init__()
        self.body, self.layer, self.readout = body, layer, readout

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the logits of the linear layer, shape (n, classes)."""
        seen: list[Tensor] = []
        hooks = last_linear_input(self.body, seen.append) if self.layer == PENULTIMATE else []
        visit = (
            (lambda layer, value: seen.append(value.clone()) if layer == self.layer else None) if not hooks else None
        )
        try:
            with Watch(self.body, after=visit):
                self.body(*args, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()
        logits: Tensor = self.readout(seen[-1].flatten(1).to(self.readout.weight.dtype))
        return logits


def readout(inputs: Tensor, targets: Tensor, classes: int) -> nn.Linear:
    """Return the linear layer that reads classes from features best: ridge regression on ±1, classes weighing the same.

    Args:
        inputs: float, shape (n, d).
        targets: int64, shape (n,).
        classes: Number of logits; a class without examples is never the answer.

    Returns:
        A frozen layer of type float32; all NaN where an input is not finite.

    Raises:
        NotApplicable: If the targets hold one class only.

    """
    from sklearn.linear_model import RidgeClassifierCV

    if not inputs.isfinite().all():
        return _layer(inputs, classes, torch.nan, torch.nan)
    scale = inputs.double().square().mean().sqrt().clamp(min=1e-12)
    fit = RidgeClassifierCV(alphas=PENALTIES, class_weight="balanced")
    if len(targets.unique()) < 2:
        raise NotApplicable("linear_probe: the examples that the attacker holds are all of one class")
    fit.fit((inputs.double() / scale).cpu().numpy(), targets.cpu().numpy())
    weight, bias = np.atleast_2d(fit.coef_), np.atleast_1d(fit.intercept_)
    if len(fit.classes_) == 2:
        weight, bias = np.concatenate([-weight, weight]), np.concatenate([-bias, bias])
    layer = _layer(inputs, classes, 0.0, NEVER)
    layer.weight[fit.classes_] = torch.as_tensor(weight).to(layer.weight) / scale.to(layer.weight)
    layer.bias[fit.classes_] = torch.as_tensor(bias).to(layer.bias)
    return layer


def _layer(inputs: Tensor, classes: int, weight: float, bias: float) -> nn.Linear:
    """Return a frozen layer filled with two numbers; making it draws nothing."""
    empty = nn.utils.skip_init(nn.Linear, inputs.shape[1], classes, device=inputs.device)
    assert isinstance(empty, nn.Linear)
    empty.requires_grad_(requires_grad=False)
    nn.init.constant_(empty.weight, weight)
    nn.init.constant_(empty.bias, bias)
    return empty


@STRESS_TESTS.register
class LinearProbe(StressTest):
    """Read the forgotten classes from the features of each layer by a linear layer of the attacker's own.

    Idea: a model may keep what it knows in its features and only refuse to say it.
    Formula: ridge regression from the features of a layer to the labels, on retained examples and ``share`` of the forget set; read on the
    rest of the forget set. Layers are the outputs of the activations in the order of the forward pass, then the input of the last
    linear layer where that is another; the dose is the number of the layer, from 1, and 0 is the model with its own head.
    Source: linear probes (Alain & Bengio 2016, arXiv 1610.01644).
    Deviations: ridge regression, solved exactly, in the place of logistic regression; its penalty by leaving one out.
    Cost: no updates; one pass over the attacker's examples and one decomposition for each layer.
    """

    inputs: ClassVar[tuple[Literal["classifier"], ...]] = ("classifier",)
    dose: ClassVar[Dose] = "layer"
    kind: Literal["linear_probe"] = "linear_probe"
    share: float = Field(0.1, ge=0, lt=1, description="share of the forget set that the attacker holds")
    examples: int = Field(2000, ge=2, description="retained examples to train on, at most")

    def settings(self) -> tuple[Setting, ...]:
        """Return the one setting, in which the attacker holds ``share`` of the forget set."""
        return (Setting("", self.share),)

    def check(self, model: nn.Module, material: StressMaterial) -> None:
        """Raise RecipeError if all examples of the attacker are of one class."""
        batch = self._examples(material, self.share, device_of(model))
        if len(material.objective.targets(batch).unique()) < 2:
            raise RecipeError(
                f"{self.kind}: share {self.share:g} of the forget set and the retained examples are all of one class; raise share"
            )

    @torch.no_grad()
    def steps(self, model: nn.Module, material: StressMaterial, setting: Setting) -> Iterator[StressStep]:
        """Yield the model with its own head, and its probed layers."""
        yield StressStep(0, 0, model)
        layers, targets = self._features(model, material, setting)
        classes = layers.pop("logits").shape[1]
        model.requires_grad_(requires_grad=False)
        for number, (layer, inputs) in enumerate(layers.items(), start=1):
            yield StressStep(number, 0, Probed(model, layer, readout(inputs, targets, classes)))

    def _features(
        self, model: nn.Module, material: StressMaterial, setting: Setting
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the features of the attacker's examples by layer, those of the logits last, and their labels."""
        objective, batch = material.objective, self._examples(material, setting.share, device_of(model))
        with evaluating(model):
            layers = features(model, batch, objective)
        last = layers.pop(PENULTIMATE, None)
        logits = layers.pop("logits")
        if last is not None and not any(torch.equal(last.nan_to_num(), v.nan_to_num()) for v in layers.values()):
            layers[PENULTIMATE] = last
        return layers | {"logits": logits}, objective.targets(batch)

    def _examples(self, material: StressMaterial, share: float | None, device: torch.device) -> Batch:
        """Return the attacker's examples: retained ones, then those of the forget set."""
        objective, held = material.objective, material.held(share)
        order = torch.randperm(len(material.retain), generator=generator(material.seed, "probe"))[: self.examples]
        batch = objective.move(material.retain.batch(order.sort().values), device)
        return objective.join(batch, objective.move(material.forget.batch(held), device)) if len(held) else batch
