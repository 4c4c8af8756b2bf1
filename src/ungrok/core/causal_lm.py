"""The objective of causal language models: next-token prediction of answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from typing_extensions import override

from ungrok.core.errors import NotApplicable, RecipeError, shown
from ungrok.core.forms import as_text, in_single, logits_in, rows_of
from ungrok.core.modules import named
from ungrok.core.objective import Batch, Family, Objective
from ungrok.core.scores import AnswerScores, Scores

IGNORED = -100
"""The label of a token that no loss sees: question, template and padding."""

KEYS = ("input_ids", "attention_mask", "labels")


class CausalLM(Objective):
    """Next-token prediction of answer tokens.

    Batches are dicts: ``input_ids``, ``attention_mask`` and ``labels``, int64 of shape (n, length), labels −100 where
    nothing is to be learned; ``index`` (n,), int64, names the examples, and ``classes`` (n,), int64, groups them, for instance
    by author; both may be missing, and other keys are ignored. Padding may stand on either side. The first token of an
    example is never predicted, since nothing stands before it; with labels on every token, answers are whole texts.

    Logits have one row per answer token, shape (rows, vocabulary), one example after another; other tokens have no row.
    ``losses`` are negative log-likelihoods averaged over each example's answer tokens; ``mean`` weighs each example by its
    number of answer tokens, so that it is the mean over all answer tokens of the batch.

    Args:
        eos: The token that ends an answer. It is learned, but left out of accuracy and extraction strength.

    """

    family: ClassVar[Family] = "language"
    per_sample: ClassVar[bool] = False  # answers are of different lengths
    draws_predictions: ClassVar[bool] = True
    scores_type: ClassVar[type[Scores]] = AnswerScores
    compared: ClassVar[int] = 16  # a vocabulary is wide

    def __init__(self, eos: int | None = None) -> None:
        if eos is not None and (not isinstance(eos, int) or isinstance(eos, bool) or eos < 0):
            raise RecipeError(f"eos: {shown(eos)} is not allowed; allowed: the number of a token, or None")
        self.eos = eos

    @override
    def move(self, batch: Batch, device: torch.device) -> Batch:
        taken = as_text(batch, KEYS)
        self._check_keys(taken)
        return tree_map(lambda value: value.to(device, non_blocking=True), taken)

    def check_form(self, batch: Batch) -> None:
        """Raise RecipeError unless every example has an answer, in the batch itself and in every other answer inside it."""
        self._check_keys(batch)
        for key in KEYS:
            value, ids = batch[key], batch["input_ids"]
            if value.dtype != torch.int64 or value.ndim != 2 or value.shape != ids.shape:
                raise RecipeError(
                    f"{key} is {value.dtype} of shape {tuple(value.shape)}; allowed: int64 of shape (n, length)"
                )
        if not ((mask := batch["attention_mask"]).eq(0) | mask.eq(1)).all():
            raise RecipeError("attention_mask holds other numbers than 0 and 1; several texts in one row are not taken")
        if (batch["labels"].ne(IGNORED) & batch["attention_mask"].eq(0)).any():
            raise RecipeError("labels: a padded place has a label; allowed there: -100")
        if (self.counts(batch) == 0).any():
            raise RecipeError("an example has no answer token: its labels are all -100")
        for name in ("index", "classes"):
            if name in batch and (batch[name].dtype != torch.int64 or batch[name].shape != (self.size(batch),)):
                raise RecipeError(
                    f"{name} is {batch[name].dtype} of shape {tuple(batch[name].shape)}; allowed: int64 of shape (n,)"
                )
        for name, other in batch.items():
            if isinstance(other, dict) and set(KEYS) <= other.keys():
                try:
                    self.check_form(other)
                except RecipeError as error:
                    raise RecipeError(f"{name}: {error}") from None

    def check(self, batch: Batch, shape: torch.Size) -> None:
        """Raise RecipeError unless every example has an answer, written in the model's vocabulary."""
        self.check_form(batch)
        answers = self.targets(batch)
        ids = batch["input_ids"][batch["attention_mask"].bool()]
        for name, values in (("labels", answers), ("input_ids", ids)):
            if not 0 <= int(values.min()) <= int(values.max()) < shape[-1]:
                bad = int(values.min()) if int(values.min()) < 0 else int(values.max())
                raise RecipeError(f"{name} hold {bad}; allowed: 0 to {shape[-1] - 1}, the vocabulary of the model")

    @staticmethod
    def _check_keys(batch: Batch) -> None:
        for key in KEYS:
            if key not in batch:
                raise RecipeError(f"a batch has no {key!r}; allowed: a dict with {', '.join(KEYS)}")
            if not isinstance(batch[key], Tensor):
                raise RecipeError(f"{key} is a {type(batch[key]).__name__}; allowed: int64 of shape (n, length)")
        if not isinstance(index := batch.get("index", torch.zeros(0)), Tensor):
            raise RecipeError(f"index is a {type(index).__name__}; allowed: int64 of shape (n,)")

    def index(self, batch: Batch) -> Tensor | None:
        """Return ``batch["index"]``, if it is there."""
        index: Tensor | None = batch.get("index")
        return index

    @override
    def size(self, batch: Batch) -> int:
        return len(batch["input_ids"])

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the logits of the answer tokens, shape (rows, vocabulary), in float32 at least."""
        self._check_keys(batch)
        return self.rows(logits_in(run(model, batch)), batch)

    def rows(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the rows of an output that predict an answer token, in float32 at least.

        Args:
            output: Shape (n, length, ...).
            batch: Says where the answers are.

        Raises:
            NotApplicable: If the output does not have one entry for each token, as that of one expert of several.

        """
        if output.shape[:2] != batch["labels"].shape:
            length = tuple(batch["labels"].shape)
            raise NotApplicable(
                f"a layer gives shape {tuple(output.shape)}; allowed: {length} first, one entry for each token"
            )
        rows = output[:, :-1][self._answers(batch)]
        return in_single(rows)

    @staticmethod
    def _answers(batch: Batch) -> Tensor:
        """Return which tokens from the second on are predicted answer tokens, bool of shape (n, length − 1).

        A token right after padding is the first of its example: nothing predicts it.
        """
        labeled: Tensor = batch["labels"][:, 1:].ne(IGNORED)
        follows: Tensor = batch["attention_mask"][:, :-1].ne(0)
        return labeled & follows

    def targets(self, batch: Batch) -> Tensor:
        """Return the answer tokens, shape (rows,)."""
        return batch["labels"][:, 1:][self._answers(batch)]  # type: ignore[no-any-return]

    def counts(self, batch: Batch) -> Tensor:
        """Return the number of answer tokens per example, shape (n,)."""
        return self._answers(batch).sum(dim=1)

    def sums(self, rows: Tensor, batch: Batch) -> Tensor:
        """Return the sum of ``rows``, shape (rows, ...), over each example's answer tokens, shape (n, ...)."""
        owner = self._answers(batch).nonzero()[:, 0]
        return rows.new_zeros(self.size(batch), *rows.shape[1:]).index_add(0, owner, rows)

    def by_example(self, rows: Tensor, batch: Batch) -> Tensor:
        """Return the mean of ``rows`` over each example's answer tokens, shape (n, ...)."""
        return self.sums(rows, batch) / self.counts(batch).view(-1, *[1] * (rows.ndim - 1))

    def classes(self, batch: Batch) -> Tensor | None:
        """Return ``batch["classes"]``, if it is there."""
        classes: Tensor | None = batch.get("classes")
        return classes

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

    @override
    def split(self, batch: Batch, size: int) -> Iterator[Batch]:
        for start in range(0, self.size(batch), size):
            yield rows_of(batch, slice(start, start + size))

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

    def relabel(self, batch: Batch, targets: Tensor) -> Batch:
        """Return the same inputs with other tokens to predict, shape (rows,)."""
        labels = batch["labels"].clone()
        labels[:, 1:][self._answers(batch)] = targets
        return {**batch, "labels": labels}

    @override
    def moved(self, before: Tensor, now: Tensor) -> Tensor:
        """Return the mean Kullback-Leibler divergence KL(before ‖ now) per answer token, a float64 scalar in nats."""
        logs = before.double().log_softmax(dim=1)
        return F.kl_div(now.double().log_softmax(dim=1), logs, reduction="batchmean", log_target=True)

    def scores_of(self, logits: Tensor, losses: Tensor, batch: Batch, *, keep_logits: bool) -> AnswerScores:  # noqa: ARG002
        """Return the scores of one batch; logits are not kept, they would take too much memory."""
        answers = self._answers(batch)
        counted = answers & batch["labels"][:, 1:].ne(self.eos) if self.eos is not None else answers
        correct = torch.zeros_like(answers)
        correct[answers] = self.predictions(logits) == self.targets(batch)
        # The sum of a row shows whether all its logits are finite, and reads them only once.
        finite = self.sums((~torch.isfinite(logits.sum(dim=1))).float(), batch) == 0
        tokens = counted.sum(dim=1)
        matches, extraction = (
            share / tokens.clamp(min=1) for share in ((correct & counted).sum(dim=1), longest_suffix(correct, counted))
        )
        losses, matches, extraction = (torch.where(finite, value, torch.nan) for value in (losses, matches, extraction))
        return AnswerScores(losses, matches, extraction, tokens)


def run(model: nn.Module, batch: Batch, **options: Any) -> Any:
    """Return a model's output on a batch; positions count from each example's first token, padding aside.

    Args:
        model: A causal language model of transformers, or one with its signature.
        batch: ``input_ids`` and ``attention_mask`` are read.
        **options: Further arguments of the model, for instance ``output_hidden_states=True``.

    """
    given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], **options}
    known = named(model)
    if "position_ids" in known:
        given["position_ids"] = (batch["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
    if "use_cache" in known:
        given.setdefault("use_cache", False)
    return model(**given)


def longest_suffix(correct: Tensor, counted: Tensor) -> Tensor:
    """Return the length of the run of correct entries that ends each row, shape (n,); only counted entries matter.

    Args:
        correct: bool, shape (n, length).
        counted: bool, shape (n, length): which entries matter.

    """
    return ((correct | ~counted).flip(1).long().cumprod(dim=1) * counted.flip(1)).sum(dim=1)
