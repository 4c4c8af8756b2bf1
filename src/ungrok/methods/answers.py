"""What methods for language models share: answer tokens only, batches in parts, reference passes kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import kl_div, logsigmoid

from ungrok.core.causal_lm import KEYS, CausalLM
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Batch, backward
from ungrok.methods.material import Material, length
from ungrok.methods.scheduled import Scheduled

RetainLoss = Literal["nll", "kl"]
"""What a retain term is: the objective's own loss, or the divergence of the model's predictions from the original's."""

KEPT_BYTES = 4 * 2**30
"""Memory on the CPU for what the reference model gave; what does not fit is computed again."""


class AnswerMethod(Scheduled):
    """A method of language models: ``γ·forget term + α·retain term``, each a mean over the whole effective batch.

    An epoch is one pass over the forget batches, each beside the next retain batch. Terms are sums of one value per answer
    token (or per example) over their number in the whole batch, so that ``micro_batch`` changes memory and nothing else.

    Source of the common settings: locuslab/open-unlearning on TOFU: AdamW 1e-5, weight decay 0.01, one epoch of linear
    warm-up. Its learning rate then falls linearly; here it does with ``schedule: linear``.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"retain_loss", "schedule"})
    listed_later: ClassVar[frozenset[str]] = frozenset({"retain_loss", "schedule"})
    inputs: ClassVar[tuple[str, ...]] = ("language",)
    per: ClassVar[Literal["token", "example"]] = "token"
    """What each value of ``forget_values`` belongs to."""

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: float = Field(1e-5, gt=0, description="learning rate after the warm-up")
    weight_decay: float = Field(0.01, ge=0, description="added to the gradient (decoupled for adamw)")
    warmup_epochs: float = Field(1.0, ge=0, description="epochs in which the learning rate rises from 0")
    micro_batch: int | None = Field(None, ge=1, description="examples per forward pass; all of a batch when null")
    gamma: float = Field(1.0, ge=0, description="γ, weight of the forget term")
    alpha: float = Field(1.0, ge=0, description="α, weight of the retain term; 0 leaves the retain data unread")
    retain_loss: RetainLoss = Field(
        "nll", description="the retain term: nll is NLL(r), kl the divergence KL(θ0 ‖ θ) of next-token predictions"
    )

    @abstractmethod
    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the summands of the forget term on a part of a forget batch, one per answer token or example."""

    def retain_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the summands of the retain term, one per answer token."""
        if self.retain_loss == "nll":
            return nll(material, batch)
        teacher = teacher_logits(material, batch, "retain")
        return divergence(teacher, language(material).logits(material.model, batch))

    def check(self, material: Material) -> None:
        """Raise RecipeError if the retain term has no data."""
        if self.alpha and material.retain == ():
            raise RecipeError(f"{self.kind} needs retain= unless alpha is 0")

    def updates_per_epoch(self, material: Material) -> int:
        """Return the number of forget batches."""
        return length(material.forget)

    def losses(self, material: Material, total: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield each batch's loss; its gradient has been added up already, part by part."""
        retain = material.endless("retain") if self.alpha else None
        for batch in material.endless("forget"):
            terms = self._terms(material, batch, next(retain) if retain else None)
            yield backward(terms).requires_grad_()

    def _terms(self, material: Material, forget: Batch, retain: Batch | None) -> Iterator[Tensor]:
        objective = language(material)
        for part in self._parts(objective, forget):
            values = self.forget_values(material, part)
            yield self.gamma * values.sum() / self.count(objective, forget)
        if retain is not None:
            yield from self.retain_terms(material, retain, self.alpha)

    def retain_terms(self, material: Material, batch: Batch, weight: float) -> Iterator[Tensor]:
        """Yield the parts of the weighted retain term on a batch, whose sum is the term."""
        objective = language(material)
        for part in self._parts(objective, batch):
            yield weight * self.retain_values(material, part).sum() / objective.weight(batch)

    def _parts(self, objective: CausalLM, batch: Batch) -> Iterator[Batch]:
        return objective.split(batch, self.micro_batch or objective.size(batch))

    def count(self, objective: CausalLM, batch: Batch) -> Tensor | int:
        """Return the number of values that the forget term of a whole batch averages."""
        return objective.weight(batch) if self.per == "token" else objective.size(batch)


def language(material: Material) -> CausalLM:
    """Return the objective of a language model; a path refuses any other before it begins."""
    return cast("CausalLM", material.objective)


def nll(material: Material, batch: Batch) -> Tensor:
    """Return the live model's negative log-likelihood of each answer token, shape (rows,)."""
    objective = language(material)
    return objective.token_losses(objective.logits(material.model, batch), batch)


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Return ``KL(softmax(teacher) ‖ softmax(student))`` per row, shape (rows,).

    Args:
        teacher: Logits, shape (rows, vocabulary).
        student: Logits, same shape.

    """
    log_p, log_q = teacher.log_softmax(dim=1), student.log_softmax(dim=1)
    return kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1)


def preference_loss(margin: Tensor, beta: float) -> Tensor:
    """Return ``−(2/β)·log σ(β·margin)``, elementwise: how far a preference falls short, as in NPO, SimNPO and DPO.

    Args:
        margin: By how much the preferred side leads, in nats.
        beta: β > 0, per nat.

    """
    return -2 / beta * logsigmoid(beta * margin)


def answer(batch: Batch, name: str, method: str) -> Batch:
    """Return another answer to the questions of a batch, whose identities it gets.

    Raises:
        NotApplicable: If the batch carries none of that name.

    """
    if not isinstance(batch.get(name), dict) or not set(KEYS) <= batch[name].keys():
        raise NotApplicable(
            f"{method}: forget batches carry no {name!r} answers; put such a batch under the key {name!r}"
        )
    other = {key: value for key, value in batch[name].items() if key != "index"}
    return other | ({"index": batch["index"]} if "index" in batch else {})


def log_ratio(material: Material, batch: Batch, name: str) -> Tensor:
    """Return Δ, the log-likelihood of each answer under θ minus that under θ0, summed over tokens, shape (n,)."""
    objective = language(material)

    def reference() -> Tensor:
        return objective.sums(objective.token_losses(material.teacher(batch), batch), batch)

    now = objective.sums(nll(material, batch), batch)
    return kept(material, name, batch, reference, [1] * objective.size(batch)) - now


def teacher_logits(material: Material, batch: Batch, name: str) -> Tensor:
    """Return θ0's logits, shape (rows, classes or vocabulary); see :func:`kept_logits`."""
    return kept_logits(material, batch, name, lambda: material.teacher(batch))


def kept_logits(material: Material, batch: Batch, name: str, compute: Callable[[], Tensor]) -> Tensor:
    """Return a teacher's logits, kept from epoch to epoch for language models, whose passes are costly; see :func:`kept`."""
    if material.objective.family != "language":
        return compute()
    return kept(material, name, batch, compute, language(material).counts(batch).tolist())


def kept(material: Material, name: str, batch: Batch, compute: Callable[[], Tensor], sizes: list[int]) -> Tensor:
    """Return what the reference model gives on a batch, computed when an example is first met.

    It is kept by index and content of the example: other data under the same index are another example.

    Args:
        material: Keeps them in its ``passes``.
        name: What it is; examples of different sets need different names.
        batch: Without an ``index`` nothing can be kept.
        compute: Makes the values, first dimension in the order of the examples.
        sizes: Values of each example.

    """
    index = material.objective.index(batch)
    if index is None:
        return compute()
    passes, keys = material.passes, list(zip([name] * len(index), index.tolist(), contents(batch), strict=True))
    if all(key in passes.values for key in keys):
        return torch.cat([passes.values[key] for key in keys]).to(index.device)
    values = compute()
    size = passes.size + values.numel() * values.element_size()
    if size <= KEPT_BYTES:
        passes.size = size
        passes.values |= dict(zip(keys, values.cpu().split(sizes), strict=True))
    return values


def contents(batch: Batch) -> list[bytes]:
    """Return a digest of each example's tokens and labels, padding aside."""
    real = batch["attention_mask"].bool().cpu()
    rows = zip(real, batch["input_ids"].cpu(), batch["labels"].cpu(), strict=True)
    return [sha256(torch.stack([ids[r], labels[r]]).numpy().tobytes()).digest() for r, ids, labels in rows]
