"""Membership inference on language models, and privacy leakage relative to the oracle.

AUCs are as in :mod:`ungrok.evaluate.membership`: the chance that a forget example looks more like a member than a held-out one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor, nn

from ungrok.core.causal_lm import CausalLM
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
    "min_k": "Threshold on the mean of the lowest of them (Shi et al. 2024).",
    "min_k_plus_plus": "The same on normalized log-probabilities (Zhang et al. 2024).",
}


@dataclass(frozen=True)
class TokenStatistics:
    """Statistics of the prediction of each answer token, one tensor per example.

    Args:
        log_p: Log-probability of the true token.
        normalized: The same minus the mean log-probability under the prediction, in its standard deviations.

    """

    log_p: list[Tensor]
    normalized: list[Tensor]

    def extend(self, more: TokenStatistics) -> None:
        """Add the examples of another batch."""
        self.log_p.extend(more.log_p)
        self.normalized.extend(more.normalized)


def batch_statistics(logits: Tensor, batch: Batch, objective: CausalLM) -> TokenStatistics:
    """Return the statistics of one batch, on the CPU, from the logits of its answer tokens."""
    log_p = logits.log_softmax(dim=1)
    true = log_p.gather(1, objective.targets(batch).unsqueeze(1)).squeeze(1)
    p = log_p.exp()
    mean = (p * log_p).sum(dim=1)
    variance = (p * log_p.square()).sum(dim=1) - mean.square()
    normalized = (true - mean) / variance.clamp(min=1e-6).sqrt()
    sizes = objective.counts(batch).tolist()
    return TokenStatistics(list(true.cpu().split(sizes)), list(normalized.cpu().split(sizes)))


def token_statistics(model: nn.Module, batches: Batches, objective: CausalLM) -> TokenStatistics:
    """Run a model over a set in eval mode, one forward pass."""
    statistics, device = TokenStatistics([], []), device_of(model)
    with evaluating(model), torch.no_grad():
        for raw in batches:
            batch = objective.move(raw, device)
            statistics.extend(batch_statistics(objective.logits(model, batch), batch, objective))
    return statistics


def min_k(tokens: Tensor, share: float = 0.2) -> float:
    """Return the mean of the lowest ``share`` of an example's token values, at least one; larger is more like a member.

    On log-probabilities Min-K% (Shi et al. 2024, arXiv 2310.16789), on normalized ones Min-K%++ (Zhang et al. 2024,
    2404.02936).
    """
    count = max(1, ceil(share * len(tokens) - 1e-9))
    return float(tokens.sort().values[:count].mean())


def attacks(members: TokenStatistics, non_members: TokenStatistics, share: float = 0.2) -> dict[str, AttackOutcome]:
    """Return the outcomes of the attacks in :data:`ATTACKS`.

    Args:
        members: On forget examples.
        non_members: On examples of the same kind that were never trained on.
        share: k of both min-k attacks, in (0, 1].

    """

    def outcome(values: Sequence[Sequence[float]]) -> AttackOutcome:
        return roc(*(np.array(side, dtype=float) for side in values))

    sides = (members, non_members)
    return {
        "loss": outcome([[float(t.mean()) for t in side.log_p] for side in sides]),
        "min_k": outcome([[min_k(t, share) for t in side.log_p] for side in sides]),
        "min_k_plus_plus": outcome([[min_k(t, share) for t in side.normalized] for side in sides]),
    }


def privleak(auc: float, oracle_auc: float) -> float | None:
    """Return privacy leakage in percent: ``100·((1 − AUC) − (1 − AUC*)) / (1 − AUC*)``; None where the oracle's AUC is 1.

    0 leaks as much as the oracle; −100 is still wholly remembered; above 0 forget examples stand out as forgotten. AUC is
    that of Min-K% on forget against held-out examples (Shi et al. 2024, MUSE, arXiv 2407.06460; locuslab/open-unlearning).
    """
    return None if oracle_auc >= 1 else 100 * (oracle_auc - auc) / (1 - oracle_auc)
