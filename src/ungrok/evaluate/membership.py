"""Membership inference: can one tell from the model's output that an example was trained on?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ungrok.core.errors import RecipeError
from ungrok.core.scores import ClassScores
from ungrok.core.seeds import generator
from ungrok.evaluate.roc import AttackOutcome, Floats, roc

READING = (
    "AUC is the chance that a forget example looks more like a member than a test example of the same classes does: 0.5 "
    "cannot be told apart, 1 is fully remembered, and below 0.5 the examples stand out as forgotten (trained attackers are above "
    "0.5 for either); nearer to the oracle's AUC is better, lower is not."
)

ATTACKS = {
    "loss": "Threshold on the objective's loss (Yeom et al. 2018).",
    "confidence": "Threshold on the probability of the true class.",
    "entropy": "Threshold on the entropy of the prediction (Salem et al. 2019).",
    "modified_entropy": "Threshold on the entropy that knows the true class (Song & Mittal 2021).",
    "logistic": "Logistic regression on the four signals, cross-validated.",
    "svc": "Support-vector classifier (RBF) on the four signals, cross-validated.",
}

FOLDS = 5
MOST = 1000
"""Most members that the trained attackers draw; they draw as many non-members."""


def signals(scores: ClassScores) -> dict[str, Floats]:
    """Return the signals of the threshold attacks, one finite value per example, larger meaning more like a member.

    - ``loss``: minus the objective's loss.
    - ``confidence``: ``log p_y − log(1 − p_y)``, which ranks as ``p_y`` does and does not saturate.
    - ``entropy``: minus the entropy of the prediction.
    - ``modified_entropy``: minus ``−(1 − p_y)·log p_y − Σ_{i≠y} p_i·log(1 − p_i)`` (arXiv 2003.10595), the sum over each
      example's own wrong classes.

    Raises:
        RecipeError: If the scores hold no logits.

    """
    if scores.logits is None:
        raise RecipeError("these scores were kept without logits; score the model with keep_logits=True")
    log_p = scores.logits.double().log_softmax(dim=1)
    log_rest, true = _log_rest(log_p), scores.targets.unsqueeze(1)
    p, log_p_y, log_rest_y = log_p.exp(), log_p.gather(1, true).squeeze(1), log_rest.gather(1, true).squeeze(1)
    wrong = (p * log_rest).scatter(1, true, 0.0).sum(dim=1)
    values = {
        "loss": -scores.losses.double(),
        "confidence": log_p_y - log_rest_y,
        "entropy": (p * log_p).sum(dim=1),
        "modified_entropy": log_rest_y.exp() * log_p_y + wrong,
    }
    return {name: value.numpy() for name, value in values.items()}


def _log_rest(log_p: Tensor) -> Tensor:
    """Return ``log(1 − p)``, finite even where p rounds to 1: for the largest p of a row, ``1 − p`` is the sum of the others."""
    top = log_p.argmax(dim=1, keepdim=True)
    others = log_p.scatter(1, top, -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.log1p(-log_p.exp().clamp(max=0.5)).scatter(1, top, others)


def membership(forget: ClassScores, test: ClassScores, seed: int = 0) -> dict[str, AttackOutcome] | None:
    """Attack a model: forget examples are members, test examples of the same classes are not.

    Classes give nothing away: only those with both forget and test examples are used, and the non-members of a class
    together weigh as much as its members. The threshold attacks use everything. The trained attackers
    get a random draw of as many non-members as members from each class, at most :data:`MOST` of either, and are judged by
    five-fold cross-validation; their interval leaves out that they were fitted, and covers about 85 % where there is nothing to learn.

    Args:
        forget: Scores on the forget data, logits included.
        test: Scores on the test data, logits included.
        seed: Seed of the draw and of the folds; the same for a model and its oracle gives both the same.

    Returns:
        Outcomes by the names of :data:`ATTACKS`, see :data:`READING` for which direction is better; None for a diverged model, and
        where fewer than 5 members can be paired with a non-member of their class.

    Raises:
        RecipeError: If the scores hold no logits.

    """
    sides = _comparable(forget, test)
    if sides is None:
        return None
    inside, outside, weights, quota = sides
    values = [signals(side) for side in (inside, outside)]
    outcomes = {name: roc(values[0][name], values[1][name], weights) for name in values[0]}
    pairs = _pairs(inside.targets, outside.targets, quota, seed)
    # The inverse hyperbolic sine keeps one extreme example from hiding all others.
    features = [np.arcsinh(np.stack([*side.values()], axis=1)[pick]) for side, pick in zip(values, pairs, strict=True)]
    return outcomes | _trained(features[0], features[1], seed)


def loss_auc(forget: ClassScores, test: ClassScores) -> float | None:
    """Return the AUC of the loss attack of :func:`membership`, which needs no logits; larger means more is remembered."""
    sides = _comparable(forget, test)
    if sides is None:
        return None
    inside, outside, weights, _ = sides
    return roc(-inside.losses.double().numpy(), -outside.losses.double().numpy(), weights).auc


def _comparable(forget: ClassScores, test: ClassScores) -> tuple[ClassScores, ClassScores, Floats, Tensor] | None:
    """Return members and non-members of the classes that both have, the latter's weights, and how many pairs each class gives."""
    if forget.diverged or test.diverged:
        return None
    size = 1 + max((int(side.targets.max()) for side in (forget, test) if len(side)), default=0)
    members, others = (torch.bincount(side.targets, minlength=size) for side in (forget, test))
    quota = torch.minimum(members, others)
    if int(quota.sum()) < FOLDS:
        return None
    inside, outside = (side.of((quota > 0)[side.targets]) for side in (forget, test))
    return inside, outside, (members / others.clamp(min=1))[outside.targets].double().numpy(), quota


def _pairs(members: Tensor, others: Tensor, quota: Tensor, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw as many members as non-members: of each class its quota, or its share of a random :data:`MOST` of all."""
    classes = torch.repeat_interleave(torch.arange(len(quota)), quota)
    classes = classes[torch.randperm(len(classes), generator=generator(seed, "pairs"))[:MOST]]
    quota = torch.bincount(classes, minlength=len(quota))
    picks = []
    for side, targets in (("members", members), ("others", others)):
        order = torch.randperm(len(targets), generator=generator(seed, side))
        chosen = [order[targets[order] == label][: quota[label]] for label in quota.nonzero().squeeze(1)]
        picks.append(torch.cat(chosen).numpy())
    return picks[0], picks[1]


def _trained(members: Floats, others: Floats, seed: int) -> dict[str, AttackOutcome]:
    """Judge attackers on folds they have not seen; everything they learn, the scaling included, comes from the other folds.

    A member and a non-member always share a fold, and a fold's outputs count by their ranks within it: pooled as they are, they rank
    below chance where there is nothing to learn.
    """
    from scipy.stats import rankdata
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    count = len(members)
    folds = torch.randperm(count, generator=generator(seed, "folds")).numpy() % FOLDS
    folds = np.tile(folds, 2)
    x, y = np.concatenate([members, others]), np.repeat([1, 0], count)
    outcomes = {}
    # Without a state of its own, an SVC draws from NumPy's global one.
    for name, attacker in {"logistic": LogisticRegression(max_iter=1000), "svc": SVC(random_state=0)}.items():
        pipeline = make_pipeline(StandardScaler(), attacker)
        outputs = cross_val_predict(pipeline, x, y, cv=PredefinedSplit(folds), method="decision_function")
        ranks = np.empty(2 * count)
        for fold in range(FOLDS):
            here = folds == fold
            ranks[here] = (rankdata(outputs[here]) - 0.5) / here.sum()
        outcomes[name] = roc(ranks[:count], ranks[count:])
    return outcomes
