"""How far two models are apart: in what they predict, and in their weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from ungrok.core.errors import RecipeError
from ungrok.core.precision import wide
from ungrok.core.scores import ClassScores
from ungrok.evaluate.gap import NAMES
from ungrok.evaluate.roc import AttackOutcome


def _probabilities(scores: ClassScores) -> Tensor:
    if scores.logits is None:
        raise RecipeError("these scores were kept without logits; score the model with keep_logits=True")
    return scores.logits.double().softmax(dim=1)


def _comparable(a: ClassScores, b: ClassScores) -> bool:
    """Return whether two models can be compared; a diverged model is at no distance from anything."""
    if len(a) != len(b) or not torch.equal(a.targets, b.targets):
        raise RecipeError("the two models were not scored on the same examples")
    return not (a.diverged or b.diverged or len(a) == 0)


def disagreement(a: ClassScores, b: ClassScores) -> float | None:
    """Return the share of examples on which two models predict different classes, in [0, 1]; None if one has diverged."""
    if not _comparable(a, b):
        return None
    return (a.predictions != b.predictions).double().mean().item()


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of each pair of rows, in bits, in [0, 1].

    ``JS(p, q) = KL(p ‖ m)/2 + KL(q ‖ m)/2`` with ``m = (p + q)/2`` and ``0·log 0 = 0``; it is finite for any two
    distributions (Lin 1991).

    Args:
        p: Probabilities, shape (n, classes).
        q: Probabilities, shape (n, classes).

    Returns:
        Shape (n,).

    """
    m = (p + q) / 2
    halves = [torch.special.xlogy(x, x) - torch.special.xlogy(x, m) for x in (p, q)]
    bits: Tensor = (halves[0] + halves[1]).sum(dim=1) / (2 * math.log(2))
    return bits.clamp(0, 1)


def js_divergence(a: ClassScores, b: ClassScores) -> float | None:
    """Return the mean Jensen-Shannon divergence of two models' predictive distributions, in bits, in [0, 1]."""
    if not _comparable(a, b):
        return None
    return divergence(_probabilities(a), _probabilities(b)).mean().item()


def activation_distance(a: ClassScores, b: ClassScores) -> float | None:
    """Return the mean Euclidean distance of two models' predictive distributions, in [0, √2].

    Golatkar et al. 2021 (arXiv 2012.13431); Chundawat et al. 2023 (2205.08096).
    """
    if not _comparable(a, b):
        return None
    return float((_probabilities(a) - _probabilities(b)).norm(dim=1).mean())


SETS = ("forget", "test")

MEASURES: dict[str, Callable[[ClassScores, ClassScores], float | None]] = {
    "disagreement": disagreement,
    "js_divergence": js_divergence,
    "activation_distance": activation_distance,
}


def distances(a: Mapping[str, ClassScores], b: Mapping[str, ClassScores]) -> dict[str, float | None]:
    """Return how differently two models predict, as ``<measure>_<set>``.

    Args:
        a: The scores of one model on ``forget`` and on ``test``, logits included.
        b: Those of the other, on the same examples.

    """
    return {f"{name}_{part}": measure(a[part], b[part]) for name, measure in MEASURES.items() for part in SETS}


class TokenDistances:
    """The measures of :data:`MEASURES` between two language models, as means over answer tokens, from batches of logits."""

    rows = 256
    """Tokens that are compared at once; few, since a vocabulary is wide and probabilities are taken in float64."""

    def __init__(self) -> None:
        self.sums = torch.zeros(len(MEASURES), dtype=torch.float64)
        self.count = 0

    def add(self, a: Tensor, b: Tensor) -> None:
        """Add the logits that two models gave for the same answer tokens, shape (rows, vocabulary) each."""
        self.count += len(a)
        for left, right in zip(a.split(self.rows), b.split(self.rows), strict=True):
            p, q = left.double().softmax(dim=1), right.double().softmax(dim=1)
            differ = (left.argmax(dim=1) != right.argmax(dim=1)).double()
            each = (differ, divergence(p, q), (p - q).norm(dim=1))
            self.sums += torch.stack([values.sum() for values in each]).cpu()

    def means(self) -> dict[str, float | None]:
        """Return the mean of each measure; None where a model has diverged, or there were no tokens."""
        finite = self.count > 0 and bool(torch.isfinite(self.sums).all())
        values = (self.sums / self.count).tolist() if finite else [None] * len(MEASURES)
        return dict(zip(MEASURES, values, strict=True))


def zrf(model: ClassScores, random: ClassScores) -> float | None:
    """Return the zero-retrain-forgetting score on the forget set, in [0, 1]; 1 is as ignorant as a random model.

    ``ZRF = 1 − mean JS(model, random)`` in bits (Chundawat et al. 2023, arXiv 2205.08096, eq. 6). Their public code averages
    a reversed KL over examples times classes instead, which is infinite where a probability is 0.

    Args:
        model: Scores of the unlearned model on the forget set.
        random: Scores of a freshly initialized model on the same examples.

    """
    mean = js_divergence(model, random)
    return None if mean is None else 1 - mean


@torch.no_grad()
def weight_distance(a: nn.Module, b: nn.Module) -> float | None:
    """Return the Euclidean distance of two models' parameters, tied ones once; None if one has diverged.

    Differences are taken in the type of the parameters, float32 at least, and their squares summed in float64.

    Buffers (batch-norm statistics) are left out.

    Raises:
        RecipeError: If the models have different parameters.

    """
    left, right = dict(a.named_parameters()), dict(b.named_parameters())
    for name in sorted(left.keys() | right.keys()):
        shapes = [tuple(side[name].shape) if name in side else "none" for side in (left, right)]
        if shapes[0] != shapes[1]:
            raise RecipeError(
                f"the two models have different parameters: {name} has the shapes {shapes[0]} and {shapes[1]}"
            )
    return distance_between([left[name] for name in left], [right[name] for name in left])


def distance_between(left: Iterable[Tensor], right: Iterable[Tensor]) -> float | None:
    """Return the Euclidean distance of tensors, in order and of the same shapes, as :func:`weight_distance` does; None if it is not finite."""
    with torch.no_grad():
        changes = [
            wide(a) - wide(b if b.device == a.device else b.to(a.device)) for a, b in zip(left, right, strict=True)
        ]
        norms = [torch.linalg.vector_norm(change, dtype=torch.float64) for change in changes]
        distance = math.hypot(*torch.stack(norms).tolist()) if norms else 0.0
    return distance if math.isfinite(distance) else None


def tug_of_war(model: Mapping[str, float | None], oracle: Mapping[str, float | None]) -> float | None:
    """Return the tug-of-war score (ToW), in [0, 1]; 1 is the oracle itself.

    ``ToW = Π (1 − |x − x*|)`` over UA, RA and TA (Zhao et al. 2024, arXiv 2406.01257).
    """
    score = 1.0
    for name in NAMES:
        a, b = model[name], oracle[name]
        if a is None or b is None:
            return None
        score *= 1 - abs(a - b)
    return score


def tug_of_war_membership(
    ours: Mapping[str, float | None],
    best: Mapping[str, float | None],
    attacks: Mapping[str, AttackOutcome] | None,
    reference: Mapping[str, AttackOutcome] | None,
) -> float | None:
    """Return the tug-of-war score with the AUC of the loss attack in the place of UA; None where a model was not attacked.

    Args:
        ours: UA, RA and TA of the unlearned model.
        best: Those of the oracle.
        attacks: Attacks on the unlearned model.
        reference: Attacks on the oracle.

    """
    if not attacks or not reference:
        return None
    return tug_of_war({**ours, "UA": attacks["loss"].auc}, {**best, "UA": reference["loss"].auc})


def relative_forgetting(start: float | None, now: float | None) -> float | None:
    """Return the share of the starting UA that is lost; 1 is all of it, negative is a gain; None from UA 0."""
    if start is None or now is None or start == 0:
        return None
    return (start - now) / start
