"""The ROC of an attack from two samples of a signal: its area with an interval, and its rate of true positives."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from ungrok.core.errors import NotApplicable

Floats = NDArray[np.float64]

Z = float(ndtri(0.975))
TOLERANCE = 1e-9
"""Weights are ratios of counts; this is far below one example."""


@dataclass(frozen=True)
class AttackOutcome:
    """The outcome of one attack.

    Args:
        auc: Area under the ROC curve, members positive.
        low: Lower end of its 95 % interval (DeLong).
        high: Upper end.
        tpr_at_0_01: True-positive rate at 1 % false positives; None with fewer than 100 non-members.
        tpr_at_0_001: At 0.1 %; None with fewer than 1,000 non-members.
        members: Number of forget examples.
        non_members: Number of test examples.

    """

    auc: float
    low: float
    high: float
    tpr_at_0_01: float | None
    tpr_at_0_001: float | None
    members: int
    non_members: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the values by name."""
        return asdict(self)


def roc(members: Floats, non_members: Floats, weights: Floats | None = None) -> AttackOutcome:
    """Return the outcome of the attack that ranks examples by a signal, larger meaning member; ties count half.

    Time and memory grow as the two samples do, times a logarithm. The interval is that of DeLong et al. (1988, Biometrics
    44:837), on the logit scale. Its variance is zero where the samples do not overlap, or where all values tie; there the
    score interval of Newcombe (2006, Statistics in Medicine 25:559, method 5) is returned, which has a width.

    Args:
        members: Shape (m,), at least 2.
        non_members: Shape (n,), at least 2.
        weights: Of the non-members, shape (n,), positive; equal by default.

    Raises:
        NotApplicable: If either sample holds fewer than 2 values.

    """
    m, n = len(members), len(non_members)
    if min(m, n) < 2:
        raise NotApplicable(f"an ROC curve from {m} members and {n} non-members: needs 2 each")
    weights = np.ones(n) if weights is None else weights
    weights = weights / weights.sum()
    above, below = placements(members, non_members, weights)
    auc = float(above.mean())
    variance = float(above.var(ddof=1)) / m + float((weights**2 * (below - auc) ** 2).sum()) * n / (n - 1)
    low, high = _delong(auc, variance) if variance > 0 else _newcombe(auc, m, 1 / float((weights**2).sum()))
    rates = [tpr_at(members, non_members, rate, weights) for rate in (0.01, 0.001)]
    return AttackOutcome(auc, low, high, rates[0], rates[1], m, n)


def placements(members: Floats, non_members: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return for each member the weight of the non-members below it, and for each non-member the share of members above it.

    An equal value counts half; the weights sum to 1.
    """
    order = np.argsort(non_members, kind="stable")
    ordered, total = non_members[order], np.r_[0.0, np.cumsum(weights[order])]
    below = total[np.searchsorted(ordered, members, "left")] + total[np.searchsorted(ordered, members, "right")]
    ordered = np.sort(members)
    not_above = np.searchsorted(ordered, non_members, "left") + np.searchsorted(ordered, non_members, "right")
    return below / (2 * total[-1]), 1 - not_above / (2 * len(members))


def _delong(auc: float, variance: float) -> tuple[float, float]:
    half = Z * variance**0.5 / (auc * (1 - auc))
    return float(expit(logit(auc) - half)), float(expit(logit(auc) + half))


def _newcombe(auc: float, m: float, n: float) -> tuple[float, float]:
    """Return the two t with ``(auc − t)² = z²·V(t)``, V the variance of Hanley & McNeil made symmetric in m and n."""
    from scipy.optimize import brentq

    size = (m + n) / 2 - 1

    def excess(t: float) -> float:
        variance = t * (1 - t) / (m * n) * (1 + size * (1 - t) / (2 - t) + size * t / (1 + t))
        return (auc - t) ** 2 - Z**2 * variance

    low = brentq(excess, 0, auc - TOLERANCE) if auc > 0 else 0.0
    high = brentq(excess, auc + TOLERANCE, 1) if auc < 1 else 1.0
    return float(low), float(high)


def tpr_at(members: Floats, non_members: Floats, rate: float, weights: Floats | None = None) -> float | None:
    """Return the largest true-positive rate of a threshold whose false-positive rate is at most ``rate``.

    Returns:
        None where one non-member weighs more than ``rate``, so that no threshold resolves it.

    """
    weights = np.ones(len(non_members)) if weights is None else weights
    weights = weights / weights.sum()
    if weights.max() > rate + TOLERANCE:
        return None
    order = np.argsort(-non_members, kind="stable")
    spared = int((np.cumsum(weights[order]) <= rate + TOLERANCE).sum())
    return float((members > non_members[order[spared]]).mean())
