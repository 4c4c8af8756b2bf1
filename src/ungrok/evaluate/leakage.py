"""Membership inference on language models, and privacy leakage relative to the oracle.

AUCs are as in :mod:`ungrok.evaluate.membership`: the chance that a forget example looks more like a member than a held-out one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ungrok.core.causal_lm import IGNORED, CausalLM
from ungrok.core.objective import Batch, Batches
from ungrok.core.scores import device_of, evaluating
from ungrok.evaluate.roc import AttackOutcome, roc

READING = (
    "AUC is the chance that a forget example looks more like a member than a test example does: 0.5 cannot be told apart, 1 is "
    "fully remembered, and below 0.5 the examples stand out as forgotten; nearer to the oracle's AUC is better, lower is not. "
    "Test examples must be texts of the same kind that no model was trained on."
)

ATTACKS = {
    "loss": "Threshold on the mean log-probability of the answer's tokens (Yeom et al. 2018).",
    "zlib": "The same over the length of the compressed answer (Carlini et al. 2021); only where a tokenizer is given.",
    "reference": "The same minus that under a reference model; only where there is one, in an audit the oracle.",
    "min_k": "Threshold on the mean of the lowest log-probabilities (Shi et al. 2024).",
    "min_k_plus_plus": "The same on normalized log-probabilities (Zhang et al. 2024).",
}

LOSSES = {"forget": "mia_forget.json", "held_out": "mia_held_out.json"}
"""The names under which the losses of members and non-members are kept, for a later comparison with a reference model."""


class MinK(NamedTuple):
    """Which tokens the min-k attacks look at; by default as locuslab/open-unlearning does.

    Args:
        share: k, the share of an answer's tokens that are averaged, in (0, 1].
        rounding: Which way k times the number of tokens is rounded; at least one token counts.
        last_token: Whether the last token, which ends the answer, is among them. That of an answer of one token always is.

    """

    share: float = 0.4
    rounding: Literal["down", "up"] = "down"
    last_token: bool = False


@dataclass(frozen=True)
class TokenStatistics:
    """Statistics of the prediction of each answer token, one tensor per example.

    Args:
        log_p: Log-probability of the true token.
        normalized: The same minus the mean log-probability under the prediction, in its standard deviations.
        sizes: Bytes of each compressed answer; none where no tokenizer was given.

    """

    log_p: list[Tensor]
    normalized: list[Tensor]
    sizes: list[int] = field(default_factory=list)

    def extend(self, more: TokenStatistics) -> None:
        """Add the examples of another batch."""
        self.log_p.extend(more.log_p)
        self.normalized.extend(more.normalized)
        self.sizes.extend(more.sizes)

    def losses(self) -> list[float]:
        """Return each example's mean loss in nats, the end token included."""
        # In float64, so that equal tokens have equal means however many they are.
        return [-float(tokens.double().mean()) for tokens in self.log_p]


def batch_statistics(logits: Tensor, batch: Batch, objective: CausalLM, tokenizer: Any = None) -> TokenStatistics:
    """Return the statistics of one batch, on the CPU, from the logits of its answer tokens.

    Args:
        logits: Shape (rows, vocabulary).
        batch: The batch.
        objective: Says which tokens are answers.
        tokenizer: One of transformers; turns answers back into texts, whose compressed lengths are kept.

    """
    log_p = logits.log_softmax(dim=1)
    true = log_p.gather(1, objective.targets(batch).unsqueeze(1)).squeeze(1)
    p = log_p.exp()
    mean = (p * log_p).sum(dim=1)
    variance = (p * log_p.square()).sum(dim=1) - mean.square()
    normalized = (true - mean) / variance.clamp(min=1e-6).sqrt()
    counts = objective.counts(batch).tolist()
    sizes = [] if tokenizer is None else compressed_sizes(batch["labels"], tokenizer)
    return TokenStatistics(list(true.cpu().split(counts)), list(normalized.cpu().split(counts)), sizes)


def compressed_sizes(labels: Iterable[Tensor], tokenizer: Any) -> list[int]:
    """Return the bytes of each answer's text, special tokens left out, compressed by zlib at its default level.

    Args:
        labels: int64, shape (n, length), -100 where there is no answer.
        tokenizer: One of transformers.

    """
    texts = (tokenizer.decode(row[row != IGNORED].tolist(), skip_special_tokens=True) for row in labels)
    return [len(zlib.compress(text.encode())) for text in texts]


def token_statistics(model: nn.Module, batches: Batches, objective: CausalLM, tokenizer: Any = None) -> TokenStatistics:
    """Run a model over a set in eval mode, one forward pass; for ``tokenizer`` see :func:`batch_statistics`."""
    statistics, device = TokenStatistics([], []), device_of(model)
    with evaluating(model), torch.no_grad():
        for raw in batches:
            batch = objective.move(raw, device)
            statistics.extend(batch_statistics(objective.logits(model, batch), batch, objective, tokenizer))
    return statistics


def min_k(tokens: Tensor, how: MinK = MinK()) -> float:  # noqa: B008 (a tuple)
    """Return the mean of the lowest of an example's token values; larger is more like a member.

    On log-probabilities Min-K% (Shi et al. 2024, arXiv 2310.16789), on normalized ones Min-K%++ (Zhang et al. 2024,
    2404.02936).
    """
    seen = tokens if how.last_token or len(tokens) == 1 else tokens[:-1]
    count = int(how.share * len(seen)) if how.rounding == "down" else ceil(how.share * len(seen) - 1e-9)
    return float(seen.double().sort().values[: max(1, count)].mean())


def attacks(
    members: TokenStatistics,
    non_members: TokenStatistics,
    how: MinK = MinK(),  # noqa: B008 (a tuple)
    reference: tuple[TokenStatistics, TokenStatistics] | None = None,
) -> dict[str, AttackOutcome]:
    """Return the outcomes of the attacks in :data:`ATTACKS`.

    Args:
        members: On forget examples.
        non_members: On examples of the same kind that were never trained on.
        how: Of both min-k attacks.
        reference: The same of a reference model, on the same examples.

    Returns:
        ``zlib`` only where the statistics hold sizes, ``reference`` only with a reference model.

    """
    sides = (members, non_members)

    def outcome(value: Callable[[TokenStatistics], Sequence[float]]) -> AttackOutcome:
        return roc(*(np.array(value(side), dtype=float) for side in sides))

    outcomes = {"loss": outcome(_likelihoods)}
    if members.sizes and non_members.sizes:
        outcomes["zlib"] = outcome(
            lambda side: [value / size for value, size in zip(_likelihoods(side), side.sizes, strict=True)]
        )
    if reference is not None:
        ours, theirs = (
            {name: side.losses() for name, side in zip(LOSSES, pair, strict=True)} for pair in (sides, reference)
        )
        outcomes["reference"] = reference_attack(ours, theirs)
    outcomes["min_k"] = outcome(lambda side: [min_k(tokens, how) for tokens in side.log_p])
    outcomes["min_k_plus_plus"] = outcome(lambda side: [min_k(tokens, how) for tokens in side.normalized])
    return outcomes


def _likelihoods(side: TokenStatistics) -> list[float]:
    return [-loss for loss in side.losses()]


def reference_attack(model: Mapping[str, Sequence[float]], reference: Mapping[str, Sequence[float]]) -> AttackOutcome:
    """Return the outcome of a threshold on the loss minus that under a reference model; lower is more like a member.

    Args:
        model: Losses per example by the keys of :data:`LOSSES`.
        reference: Those of the reference model on the same examples.

    """
    return roc(*(np.array(reference[side], dtype=float) - np.array(model[side], dtype=float) for side in LOSSES))


def privleak(auc: float, oracle_auc: float) -> float | None:
    """Return privacy leakage in percent: ``100·((1 − AUC) − (1 − AUC*)) / (1 − AUC*)``; None where the oracle's AUC is 1.

    0 leaks as much as the oracle; −100 is still wholly remembered; above 0 forget examples stand out as forgotten. AUC is
    that of Min-K% on forget against held-out examples (Shi et al. 2024, MUSE, arXiv 2407.06460; locuslab/open-unlearning).
    """
    return None if oracle_auc >= 1 else 100 * (oracle_auc - auc) / (1 - oracle_auc)
