"""The objective of causal language models: next-token prediction of answers, and what one forward pass tells of them."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Batch, Batches, Family
from ungrok.core.scores import device_of, evaluating

IGNORED = -100
"""The label of a token that no loss sees: question, template and padding."""

KEYS = ("input_ids", "attention_mask", "labels")


class CausalLM:
    """Next-token prediction of answer tokens.

    Batches are dicts: ``input_ids``, ``attention_mask`` and ``labels``, int64 of shape (n, length), labels −100 where
    nothing is to be learned; ``index`` (n,), int64, names the examples, and ``classes`` (n,), int64, groups them, for instance
    by author; both may be missing. Padding may stand on either side.

    Logits have one row per answer token, shape (rows, vocabulary), examples one after another: what is not an answer
    token is gone before any loss could see it. ``losses`` are negative log-likelihoods averaged over each example's
    tokens; ``mean`` weighs examples by their tokens, so that it is the token mean of the whole batch.

    Args:
        eos: The token that ends an answer. It is learned, but left out of accuracy and extraction strength.

    """

    family: ClassVar[Family] = "language"

    def __init__(self, eos: int | None = None) -> None:
        self.eos = eos

    def move(self, batch: Batch, device: torch.device) -> Batch:
        """Return the batch on ``device``."""
        return tree_map(lambda x: x.to(device, non_blocking=True) if isinstance(x, Tensor) else x, batch)

    def check(self, batch: Batch, shape: torch.Size) -> None:
        """Raise RecipeError unless every example has an answer, written in the model's vocabulary."""
        for key in KEYS:
            if key not in batch:
                raise RecipeError(f"a batch has no {key!r}; allowed: a dict with {', '.join(KEYS)}")
            if batch[key].dtype != torch.int64 or batch[key].shape != batch["input_ids"].shape:
                raise RecipeError(
                    f"{key} is {batch[key].dtype} of shape {tuple(batch[key].shape)}; allowed: int64 of shape (n, length)"
                )
        if (batch["labels"].ne(IGNORED) & batch["attention_mask"].eq(0)).any():
            raise RecipeError("labels: a padded place has a label; allowed there: -100")
        if (self.counts(batch) == 0).any():
            raise RecipeError("an example has no answer token: its labels are all -100")
        answers = self.targets(batch)
        ids = batch["input_ids"][batch["attention_mask"].bool()]
        for name, values in (("labels", answers), ("input_ids", ids)):
            if not 0 <= int(values.min()) <= int(values.max()) < shape[-1]:
                bad = int(values.min()) if int(values.min()) < 0 else int(values.max())
                raise RecipeError(f"{name} hold {bad}; allowed: 0 to {shape[-1] - 1}, the vocabulary of the model")

    def index(self, batch: Batch) -> Tensor | None:
        """Return ``batch["index"]``, if it is there."""
        found: Tensor | None = batch.get("index")
        return found

    def size(self, batch: Batch) -> int:
        """Return the number of examples."""
        return len(batch["input_ids"])

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the logits of the answer tokens, shape (rows, vocabulary), in float32 at least."""
        return self.rows(run(model, batch).logits, batch)

    def rows(self, output: Tensor, batch: Batch) -> Tensor:
        """Return what a model gave where it predicts an answer token, in float32 at least.

        Args:
            output: Shape (n, length, ...).
            batch: Says where the answers are.

        Raises:
            NotApplicable: If the output is not laid out so, for instance that of one expert of several.

        """
        if output.shape[:2] != batch["labels"].shape:
            length = tuple(batch["labels"].shape)
            raise NotApplicable(
                f"a layer gives shape {tuple(output.shape)}; wanted: {length} first, one entry for each token"
            )
        found = output[:, :-1][self._answers(batch)]
        return found if found.dtype == torch.float64 else found.float()

    @staticmethod
    def _answers(batch: Batch) -> Tensor:
        return batch["labels"][:, 1:].ne(IGNORED)  # type: ignore[no-any-return]

    def targets(self, batch: Batch) -> Tensor:
        """Return the answer tokens, shape (rows,)."""
        return batch["labels"][:, 1:][self._answers(batch)]  # type: ignore[no-any-return]

    def counts(self, batch: Batch) -> Tensor:
        """Return the number of answer tokens per example, shape (n,)."""
        return self._answers(batch).sum(dim=1)

    def sums(self, rows: Tensor, batch: Batch) -> Tensor:
        """Sum what each answer token has, shape (rows, ...), into one per example, shape (n, ...)."""
        owner = self._answers(batch).nonzero()[:, 0]
        return rows.new_zeros(self.size(batch), *rows.shape[1:]).index_add(0, owner, rows)

    def by_example(self, rows: Tensor, batch: Batch) -> Tensor:
        """Return the mean over each example's answer tokens, shape (n, ...)."""
        return self.sums(rows, batch) / self.counts(batch).view(-1, *[1] * (rows.ndim - 1))

    def classes(self, batch: Batch) -> Tensor | None:
        """Return ``batch["classes"]``, if it is there."""
        found: Tensor | None = batch.get("classes")
        return found

    def token_losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the negative log-likelihood of each answer token, shape (rows,), in nats."""
        return F.cross_entropy(logits, self.targets(batch), reduction="none")

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean negative log-likelihood of each answer's tokens, shape (n,), in nats."""
        return self.by_example(self.token_losses(logits, batch), batch)

    def weight(self, batch: Batch) -> Tensor:
        """Return the number of answer tokens."""
        return self.counts(batch).sum()

    def mean(self, losses: Tensor, batch: Batch) -> Tensor:
        """Return the mean over the answer tokens of the batch."""
        counts = self.counts(batch)
        return (losses * counts).sum() / counts.sum()

    def split(self, batch: Batch, size: int) -> Iterator[Batch]:
        """Yield the batch in parts of at most ``size`` examples."""
        for start in range(0, self.size(batch), size):
            yield tree_map(lambda x, a=start: x[a : a + size], batch)

    def join(self, *batches: Batch) -> Batch:
        """Return several batches as one, the shorter padded on the right; index and classes are kept where all have them."""
        length = max(batch["input_ids"].shape[1] for batch in batches)

        def padded(batch: Batch, name: str) -> Tensor:
            room = length - batch[name].shape[1]
            return F.pad(batch[name], (0, room), value=IGNORED if name == "labels" else 0)

        joined = {name: torch.cat([padded(batch, name) for batch in batches]) for name in KEYS}
        for name in ("index", "classes"):
            if all(name in batch for batch in batches):
                joined[name] = torch.cat([batch[name] for batch in batches])
        return joined

    def predictions(self, logits: Tensor) -> Tensor:
        """Return the arg-max token per answer token, shape (rows,)."""
        return logits.argmax(dim=1)

    def relabel(self, batch: Batch, targets: Tensor) -> Batch:
        """Return the same inputs with other tokens to predict, shape (rows,)."""
        labels = batch["labels"].clone()
        labels[:, 1:][self._answers(batch)] = targets
        return {**batch, "labels": labels}


@cache
def _accepted(model: Hashable) -> frozenset[str]:
    return frozenset(inspect.signature(model.forward).parameters)  # type: ignore[attr-defined]


def run(model: nn.Module, batch: Batch, **options: Any) -> Any:
    """Return a model's output on a batch, positions counted from each example's first token.

    Args:
        model: A causal language model of transformers, or one with its signature.
        batch: ``input_ids`` and ``attention_mask`` are read.
        **options: Further arguments of the model, for instance ``output_hidden_states=True``.

    """
    given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], **options}
    base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator] # peft
    kind: Any = type(base)
    known = _accepted(kind)
    if "position_ids" in known:
        given["position_ids"] = (batch["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
    if "use_cache" in known:
        given.setdefault("use_cache", False)
    return model(**given)


@dataclass(frozen=True)
class AnswerScores:
    """What one model gave on one split of question-answer pairs, teacher-forced, one entry per example, on the CPU.

    Args:
        losses: float32, shape (n,): mean negative log-likelihood of the answer tokens, in nats.
        matches: float32, shape (n,), in [0, 1]: share of answer tokens that are the model's first choice after the true
            prefix ("exact memorization", Tirumala et al. 2022, arXiv 2205.10770).
        extraction: float32, shape (n,), in [0, 1]: extraction strength, the share of the answer that the model completes
            by itself: ``1 − k/n`` with k the shortest prefix after which every token is its first choice, 1 where none
            is needed and 0 where even the last token is wrong (Wang et al. 2024, arXiv 2402.03927).

    The token that ends an answer counts in losses only. Values are NaN where a logit is not finite.

    """

    losses: Tensor
    matches: Tensor
    extraction: Tensor

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def diverged(self) -> bool:
        """True where any logit or loss was not finite."""
        return not bool(torch.isfinite(self.losses).all())

    def _mean(self, values: Tensor) -> float | None:
        return None if self.diverged or len(self) == 0 else values.double().mean().item()

    @property
    def accuracy(self) -> float | None:
        """Mean of ``matches`` in [0, 1]; None for a diverged model or an empty split."""
        return self._mean(self.matches)

    @property
    def loss(self) -> float | None:
        """Mean over examples of ``losses``; None for a diverged model or an empty split."""
        return self._mean(self.losses)

    @property
    def extraction_strength(self) -> float | None:
        """Mean of ``extraction`` in [0, 1]; None for a diverged model or an empty split."""
        return self._mean(self.extraction)

    @property
    def probability(self) -> float | None:
        """Mean of ``exp(−loss)``, the geometric mean of an answer's token probabilities; None as above."""
        return self._mean((-self.losses).exp())

    def of(self, index: Tensor) -> AnswerScores:
        """Return the scores of the examples that ``index`` (int64 or bool) selects."""
        return AnswerScores(self.losses[index], self.matches[index], self.extraction[index])


def longest_suffix(correct: Tensor, counted: Tensor) -> Tensor:
    """Return how many of each row's last counted entries are all correct, shape (n,).

    Args:
        correct: bool, shape (n, length).
        counted: bool, shape (n, length): which entries exist.

    """
    return ((correct | ~counted).flip(1).long().cumprod(dim=1) * counted.flip(1)).sum(dim=1)


def summarize(logits: Tensor, batch: Batch, objective: CausalLM) -> AnswerScores:
    """Return the scores of one batch from the logits of its answer tokens."""
    answers = batch["labels"][:, 1:].ne(IGNORED)
    counted = answers & batch["labels"][:, 1:].ne(objective.eos) if objective.eos is not None else answers
    correct = torch.zeros_like(answers)
    correct[answers] = objective.predictions(logits) == objective.targets(batch)
    # A sum is finite where every logit is, and read once.
    finite = objective.sums((~torch.isfinite(logits.sum(dim=1))).float(), batch) == 0
    tokens = counted.sum(dim=1).clamp(min=1)
    values = (
        objective.losses(logits, batch),
        (correct & counted).sum(dim=1) / tokens,
        longest_suffix(correct, counted) / tokens,
    )
    return AnswerScores(*(torch.where(finite, value, torch.nan).detach() for value in values))


def score_answers(model: nn.Module, batches: Batches, objective: CausalLM) -> AnswerScores:
    """Run a model over a split in eval mode, one forward pass, and keep what metrics need, in the order of the batches.

    Raises:
        RecipeError: If ``batches`` is empty.

    """
    device, found = device_of(model), []
    with evaluating(model), torch.no_grad():
        for raw in batches:
            batch = objective.move(raw, device)
            found.append(summarize(objective.logits(model, batch), batch, objective))
    if not found:
        raise RecipeError("no batches to score: the split is empty")
    names = ("losses", "matches", "extraction")
    return AnswerScores(*(torch.cat([getattr(part, name) for part in found]).cpu() for name in names))
