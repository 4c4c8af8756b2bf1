"""What the methods have in common that move all weights away from the original's before they fine-tune."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.precision import wide
from ungrok.methods.finetune import Finetune
from ungrok.methods.material import Material


class Displaced(Finetune):
    """Fine-tuning on the retain set that begins away from the original: a model near to it soon learns again what it forgot."""

    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    lr: float = Field(1e-5, gt=0, description="learning rate")
    weight_decay: float = Field(0.0, ge=0, description="added to the gradient (decoupled for adamw)")
    default_epochs: ClassVar[int] = 100

    @abstractmethod
    def displaced(self, weight: Tensor, draw: torch.Generator) -> Tensor:
        """Return where a parameter goes before the first update.

        Args:
            weight: Its values, float32 at least, of any shape.
            draw: On the CPU; shared by all parameters, in the order of the model.

        """

    @torch.no_grad()
    def begin(self, material: Material) -> None:
        """Move every parameter that is not frozen, those of normalization layers and biases included."""
        draw = material.generator("displacement")
        for weight in self.trainable(material.model):
            weight.copy_(self.displaced(wide(weight), draw))
