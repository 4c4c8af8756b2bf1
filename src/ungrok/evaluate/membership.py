"""Membership inference: can one tell from the model's output that an example was trained on?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.scores import Scores
from ungrok.core.seeds import derive, generator

Floats = NDArray[np.float64]

READING = (
    "AUC is the chance that a forget example looks more like a member than a test example does: 0.5 cannot be told "
    "apart, 1 is fully remembered, and below 0.5 the examples stand out as forgotten. Nearer to the oracle's AUC is "
    "better; lower is not."
)

RATES = (0.01, 0.001)


@dataclass(frozen=True)
class Attack:
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


def signals(scores: Scores) -> dict[str, Floats]:
    """Return what the threshold attacks look at, one value per example, larger meaning more like a member.

    - ``loss``: minus the objective's loss (Yeom et al. 2018).
    - ``confidence``: probability of the true class.
    - ``entropy``: minus the entropy of the prediction (Salem et al. 2019).
    - ``modified_entropy``: minus ``−(1 − p_y)·log p_y − Σ_{i≠y} p_i·log(1 − p_i)`` (Song & Mittal 2021, arXiv 2003.10595,
      eq. 3), the sum over each example's own wrong classes.

    Raises:
        RecipeError: If the scores hold no logits, or the model has diverged.

    """
    if scores.logits is None or scores.diverged:
        raise RecipeError("membership inference needs logits of a model that has not diverged")
    log_p = scores.logits.double().log_softmax(dim=1)
    p = log_p.exp()
    true = scores.targets.unsqueeze(1)
    p_y, log_p_y = p.gather(1, true).squeeze(1), log_p.gather(1, true).squeeze(1)
    # log(1 − p) through log1p, bounded where p rounds to 1.
    wrong = (p * torch.log1p(-p.clamp(max=1 - 1e-15))).scatter(1, true, 0.0).sum(dim=1)
    modified = -(1 - p_y) * log_p_y - wrong
    found = {
        "loss": -scores.losses.double(),
        "confidence": p_y,
        "entropy": (p * log_p).sum(dim=1),
        "modified_entropy": -modified,
    }
    return {name: value.numpy() for name, value in found.items()}


def roc(members: Floats, non_members: Floats) -> Attack:
    """Return the outcome of the attack that ranks examples by a signal, larger meaning member; ties count half.

    The interval is DeLong's (1988, Biometrics 44:837), on the logit scale where the AUC is not 0 or 1.
    """
    m, n = len(members), len(non_members)
    wins = (members[:, None] > non_members[None]) + 0.5 * (members[:, None] == non_members[None])
    auc = float(wins.mean())
    variance = sum(float(np.var(wins.mean(axis=axis), ddof=1)) / k for axis, k in ((1, m), (0, n)) if k > 1)
    half = stats.norm.ppf(0.975) * variance**0.5
    if 0 < auc < 1:
        center, scale = np.log(auc / (1 - auc)), half / (auc * (1 - auc))
        low, high = (float(1 / (1 + np.exp(-(center + side * scale)))) for side in (-1, 1))
    else:
        low, high = auc, auc
    rates = [tpr_at(members, non_members, rate) for rate in RATES]
    return Attack(auc, low, high, rates[0], rates[1], m, n)


def tpr_at(members: Floats, non_members: Floats, rate: float) -> float | None:
    """Return the largest true-positive rate whose false-positive rate is at most ``rate``; None where too few non-members."""
    if len(non_members) * rate < 1 - 1e-9:
        return None
    truth = np.r_[np.ones(len(members)), np.zeros(len(non_members))]
    fpr, tpr, _ = roc_curve(truth, np.r_[members, non_members], drop_intermediate=False)
    return float(tpr[fpr <= rate + 1e-12].max())


def same_classes(forget: Scores, test: Scores) -> Scores:
    """Return the test examples of the classes that have forget examples; other classes would give membership away."""
    return test.of(torch.isin(test.targets, forget.targets.unique()))


def membership(forget: Scores, test: Scores, seed: int = 0) -> dict[str, Attack]:
    """Attack a model: forget examples are members, test examples of the same classes are not.

    Threshold attacks on each of :func:`signals`, and a logistic and an SVC attacker on all of them together. The trained
    attackers get as many non-members as members, drawn at random, and are judged by five-fold cross-validation.

    Args:
        forget: Scores on the forget data, logits included.
        test: Scores on the test data, logits included.
        seed: Seed of the draw and of the folds.

    Returns:
        Outcomes by attack; see :data:`READING` for which direction is better.

    Raises:
        NotApplicable: If there are fewer than 5 members or non-members.

    """
    outside = same_classes(forget, test)
    if min(len(forget), len(outside)) < 5:
        raise NotApplicable(
            f"membership inference with {len(forget)} members and {len(outside)} non-members: needs 5 each"
        )
    inside, out = signals(forget), signals(outside)
    found = {name: roc(inside[name], out[name]) for name in inside}
    count = min(len(forget), len(outside))
    pick = {
        k: torch.randperm(k, generator=generator(seed, "membership", k))[:count].numpy()
        for k in (len(forget), len(outside))
    }
    features = [np.stack([side[name][pick[len(side[name])]] for name in side], axis=1) for side in (inside, out)]
    x, y = np.concatenate(features), np.r_[np.ones(count), np.zeros(count)]
    for name, attacker in _attackers(seed).items():
        folds = StratifiedKFold(5, shuffle=True, random_state=derive(seed, "folds") % 2**32)
        scores = cross_val_predict(attacker, x, y, cv=folds, method="decision_function")
        found[name] = roc(scores[:count], scores[count:])
    return found


def _attackers(seed: int) -> dict[str, Any]:
    return {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "svc": make_pipeline(StandardScaler(), SVC(random_state=derive(seed, "svc") % 2**32)),
    }
