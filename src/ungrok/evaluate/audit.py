"""One unlearned model against the original and, if there is one, the oracle."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ungrok.core.errors import NotApplicable
from ungrok.core.objective import Batches, Classification, Objective
from ungrok.core.scores import Scores, device_of, score
from ungrok.core.seeds import seeded
from ungrok.evaluate.accuracy import class_accuracies
from ungrok.evaluate.distances import (
    activation_distance,
    disagreement,
    js_divergence,
    relative_forgetting,
    tug_of_war,
    weight_distance,
    zrf,
)
from ungrok.evaluate.gap import oracle_gap
from ungrok.evaluate.membership import READING, Attack, membership

SETS = {"UA": "forget", "RA": "retain", "TA": "test"}


@dataclass(frozen=True)
class Audit:
    """What an audit found; accuracies in [0, 1], None where a model has diverged or a set is too small.

    Args:
        accuracies: ``original``, ``unlearned`` and ``oracle`` (where given) to UA, RA and TA; larger UA means more is remembered.
        classes: The same models to accuracies per class on forget, retain and test.
        membership: The same models to attacks by name; see ``reading``.
        distances: From the unlearned model to the original and, where given, to the oracle; see :func:`audit`.
        oracle_gap: Mean of ``|UA − UA*|``, ``|RA − RA*|`` and ``|TA − TA*|``; None without an oracle.
        tug_of_war: 1 is the oracle itself; None without one.
        tug_of_war_membership: The same with the AUC of the loss attack in the place of UA.
        relative_forgetting: Share of the starting UA that is lost.
        zrf: Zero-retrain-forgetting score on the forget set; None without a factory.
        reading: Which direction of the attack's AUC is better, in a sentence.

    """

    accuracies: dict[str, dict[str, float | None]]
    classes: dict[str, dict[str, dict[int, float]]]
    membership: dict[str, dict[str, Attack] | None]
    distances: dict[str, dict[str, float | None]]
    oracle_gap: float | None
    tug_of_war: float | None
    tug_of_war_membership: float | None
    relative_forgetting: float | None
    zrf: float | None
    reading: str = READING

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        attacks = {
            model: None if found is None else {name: attack.to_dict() for name, attack in found.items()}
            for model, found in self.membership.items()
        }
        return {**vars(self), "membership": attacks}

    def __str__(self) -> str:
        lines = [f"{'':>10}  {'UA':>6} {'RA':>6} {'TA':>6}  {'MIA AUC [95 %]':>20}"]
        for model, values in self.accuracies.items():
            numbers = " ".join(f"{_text(values[name]):>6}" for name in SETS)
            found = self.membership[model]
            attack = f"{found['loss'].auc:.3f} [{found['loss'].low:.3f}, {found['loss'].high:.3f}]" if found else "-"
            lines.append(f"{model:>10}  {numbers}  {attack:>20}")
        lines.append(f"gap to the oracle {_text(self.oracle_gap)}, share of UA lost {_text(self.relative_forgetting)}")
        return "\n".join([*lines, self.reading])

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def audit(
    original: nn.Module,
    unlearned: nn.Module,
    *,
    forget: Batches,
    retain: Batches,
    test: Batches,
    oracle: nn.Module | None = None,
    factory: Callable[[], nn.Module] | None = None,
    objective: Objective | None = None,
    seed: int = 0,
) -> Audit:
    """Measure what an unlearned model still knows, what it has lost, and how far it is from retraining.

    Every model runs once over every set, in eval mode; its mode is restored.

    Args:
        original: The model before unlearning.
        unlearned: The model after it.
        forget: Batches that were to be forgotten, in a fixed order.
        retain: Batches that were to be kept, in a fixed order.
        test: Batches that no model has seen, in a fixed order.
        oracle: A model retrained without ``forget``.
        factory: Returns a freshly initialized model; gives the ZRF score.
        objective: Cross-entropy classification by default.
        seed: Seed of the attackers' draws and of the factory.

    Returns:
        ``distances`` holds, for ``original`` and ``oracle``: ``disagreement``, ``js_divergence`` and ``activation_distance`` on
        forget and on test, and ``weight_distance``.

    Raises:
        RecipeError: If a set is empty, or gives other examples when iterated again.

    """
    objective, batches = objective or Classification(), {"forget": forget, "retain": retain, "test": test}
    models = {"original": original, "unlearned": unlearned} | ({"oracle": oracle} if oracle else {})
    scores = {
        name: {role: score(model, part, objective) for role, part in batches.items()} for name, model in models.items()
    }
    accuracies = {name: {key: found[role].accuracy for key, role in SETS.items()} for name, found in scores.items()}
    attacks = {name: _attacks(found, seed) for name, found in scores.items()}
    ours, best = accuracies["unlearned"], accuracies.get("oracle")
    return Audit(
        accuracies=accuracies,
        classes={name: {role: class_accuracies(s) for role, s in found.items()} for name, found in scores.items()},
        membership=attacks,
        distances={
            name: _distances(scores["unlearned"], scores[name]) | {"weight_distance": weight_distance(unlearned, model)}
            for name, model in models.items()
            if name != "unlearned"
        },
        oracle_gap=oracle_gap(ours, best) if best else None,
        tug_of_war=tug_of_war(ours, best) if best else None,
        tug_of_war_membership=_membership_form(accuracies, attacks),
        relative_forgetting=relative_forgetting(accuracies["original"]["UA"], ours["UA"]),
        zrf=_zrf(scores["unlearned"]["forget"], factory, forget, objective, unlearned, seed) if factory else None,
    )


def _attacks(scores: dict[str, Scores], seed: int) -> dict[str, Attack] | None:
    if scores["forget"].diverged or scores["test"].diverged:
        return None
    try:
        return membership(scores["forget"], scores["test"], seed)
    except NotApplicable:
        return None


def _distances(a: dict[str, Scores], b: dict[str, Scores]) -> dict[str, float | None]:
    measures = {
        "disagreement": disagreement,
        "js_divergence": js_divergence,
        "activation_distance": activation_distance,
    }
    return {
        f"{name}_{role}": measure(a[role], b[role]) for name, measure in measures.items() for role in ("forget", "test")
    }


def _membership_form(
    accuracies: dict[str, dict[str, float | None]], attacks: dict[str, dict[str, Attack] | None]
) -> float | None:
    sides = []
    for name in ("unlearned", "oracle"):
        found = attacks.get(name)
        if not found:
            return None
        sides.append({**accuracies[name], "UA": found["loss"].auc})
    return tug_of_war(*sides)


def _zrf(
    scores: Scores,
    factory: Callable[[], nn.Module],
    forget: Batches,
    objective: Objective,
    model: nn.Module,
    seed: int,
) -> float | None:
    with seeded(seed):
        random = factory().to(device_of(model))
    return zrf(scores, score(random, forget, objective))
