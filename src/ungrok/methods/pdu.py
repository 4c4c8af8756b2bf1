"""PDU: flatten the predictions of forget answers under a bound on the retain loss, by a primal-dual method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.objective import Batch
from ungrok.methods.answers import AnswerMethod, language
from ungrok.methods.base import UNLEARNERS, Family
from ungrok.methods.material import Material


def squared_margin(logits: Tensor) -> Tensor:
    """Return ``(max z − mean z)²`` per row, shape (rows,), of logits of shape (rows, vocabulary); 0 where all are alike."""
    return (logits.amax(dim=1) - logits.mean(dim=1)).square()


@dataclass
class Dual:
    """The weight of the retain term along a path.

    Args:
        weight: λ ≥ 0.
        update: Updates made.
        loss: The retain loss on the batch of the present update.

    """

    weight: float
    update: int = 0
    loss: float = 0.0


@UNLEARNERS.register
class PDU(AnswerMethod):
    """Flatten what the model predicts in forget answers, the retain loss bound by a weight that learns; for language models.

    Formula: minimize ``γ·mean over f's tokens of (max z − mean z)² + λ·(L(r) − ε)`` over θ, z the logits, and after each update
    ``λ ← max(0, λ + η·(L(r) − ε))`` with L(r) as it was in this update; λ starts at α and stays there for ``dual_warmup_epochs``.
    Paper: Entesari et al. 2025, "Constrained Entropic Unlearning: A Primal-Dual Framework for Large Language Models" (arXiv
    2506.05314).
    Public source: locuslab/open-unlearning, ``PDU``.
    Deviations: the forget term is taken where answer tokens are predicted; the source masks logits by labels that it has not
    shifted, and so leaves out the first token of an answer and takes in what would follow its end. λ moves once an update, in the
    source once a micro-batch; its choice of once an epoch is left out. The loss of a step is without ``−λ·ε``, which moves nothing.
    Defaults: α 100, η 5, ε 0.3, 10 epochs, λ fixed in the first 5, as the source's script has it for TOFU. ε should be somewhat
    above the retain loss at the start: below it λ only grows.
    Cost: as gradient_difference.
    """

    family: ClassVar[Family] = "distillation"
    kind: Literal["pdu"] = "pdu"
    alpha: float = Field(100.0, gt=0, description="α, weight λ of the retain term at the start, no unit")
    epsilon: float = Field(0.3, ge=0, description="ε, bound on the retain loss, in nats per token")
    dual_step: float = Field(5.0, ge=0, description="η, step of λ per nat; 0 keeps it at α")
    dual_warmup_epochs: float = Field(5.0, ge=0, description="epochs in which λ stays at α")
    default_epochs: ClassVar[int] = 10

    def begin(self, material: Material) -> Dual:  # noqa: ARG002
        """Return the weight before the first update."""
        return Dual(self.alpha)

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the squared margin at each token."""
        return squared_margin(language(material).logits(material.model, batch))

    def retain_terms(self, material: Material[Dual], batch: Batch, weight: float) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the parts of ``λ·L(r)``, and note L(r)."""
        material.state.loss = 0.0
        for term in super().retain_terms(material, batch, 1.0):
            material.state.loss += float(term.detach())
            yield material.state.weight * term

    def after_update(self, material: Material[Dual], optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002
        """Move λ once the dual warm-up is over."""
        dual = material.state
        dual.update += 1
        if dual.update > self.dual_warmup_epochs * self.updates_per_epoch(material):
            dual.weight = max(0.0, dual.weight + self.dual_step * (dual.loss - self.epsilon))
