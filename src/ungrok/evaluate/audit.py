"""One unlearned model against the original and, if there is one, the oracle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Batches, Classification, Objective
from ungrok.core.scores import Scores, device_of, joined, score
from ungrok.core.seeds import seeded
from ungrok.evaluate.accuracy import class_accuracies
from ungrok.evaluate.distances import (
    distances,
    relative_forgetting,
    tug_of_war,
    tug_of_war_membership,
    weight_distance,
    zrf,
)
from ungrok.evaluate.gap import oracle_gap
from ungrok.evaluate.membership import ATTACKS, READING, membership
from ungrok.evaluate.roc import AttackOutcome

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
    membership: dict[str, dict[str, AttackOutcome] | None]
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
        lines = [f"{'':>10}  {'UA':>6} {'RA':>6} {'TA':>6}"]
        for model, values in self.accuracies.items():
            lines.append(f"{model:>10}  {' '.join(f'{_text(values[name]):>6}' for name in SETS)}")
        lines.append(f"gap to the oracle {_text(self.oracle_gap)}, share of UA lost {_text(self.relative_forgetting)}")
        lines.append(f"{'MIA AUC':>18}{''.join(f'{model:>22}' for model in self.membership)}")
        for name in ATTACKS:
            found = [attacks[name] if attacks else None for attacks in self.membership.values()]
            lines.append(f"{name:>18}{''.join(f'{_interval(attack):>22}' for attack in found)}")
        return "\n".join([*lines, self.reading])

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(attack: AttackOutcome | None) -> str:
    return f"{attack.auc:.3f} [{attack.low:.3f}, {attack.high:.3f}]" if attack else "-"


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

    Every set is read once, and every model runs once over every batch of it, in eval mode; its mode is restored. A loader
    may shuffle or augment: all models see the same batches.

    Args:
        original: The model before unlearning.
        unlearned: The model after it.
        forget: Batches that were to be forgotten.
        retain: Batches that were to be kept.
        test: Batches that no model has seen.
        oracle: A model retrained without ``forget``.
        factory: Returns a freshly initialized model; gives the ZRF score.
        objective: Cross-entropy classification by default.
        seed: Seed of the attackers' draws, of the factory, and of loaders that shuffle.

    Returns:
        ``distances`` holds, for ``original`` and ``oracle``: ``disagreement``, ``js_divergence`` and ``activation_distance`` on
        forget and on test, and ``weight_distance``.

    Raises:
        RecipeError: If a set is empty, one object is given for two sets, or the models have different parameters.

    """
    objective, batches = objective or Classification(), {"forget": forget, "retain": retain, "test": test}
    _check_distinct(batches)
    models = {"original": original, "unlearned": unlearned} | ({"oracle": oracle} if oracle is not None else {})
    weights = {name: weight_distance(unlearned, model) for name, model in models.items() if name != "unlearned"}
    with seeded(seed):
        random = {"random": factory().to(device_of(unlearned))} if factory else {}
        by_role = {
            role: _score_all(models | random if role == "forget" else models, role, part, objective)
            for role, part in batches.items()
        }
    scores = {name: {role: by_role[role][name] for role in batches} for name in models}
    accuracies = {name: {key: found[role].accuracy for key, role in SETS.items()} for name, found in scores.items()}
    found = {name: membership(parts["forget"], parts["test"], seed) for name, parts in scores.items()}
    ours, best = accuracies["unlearned"], accuracies.get("oracle")
    return Audit(
        accuracies=accuracies,
        classes={name: {role: class_accuracies(s) for role, s in parts.items()} for name, parts in scores.items()},
        membership=found,
        distances={
            name: distances(scores["unlearned"], scores[name]) | {"weight_distance": apart}
            for name, apart in weights.items()
        },
        oracle_gap=oracle_gap(ours, best) if best else None,
        tug_of_war=tug_of_war(ours, best) if best else None,
        tug_of_war_membership=tug_of_war_membership(ours, best, found["unlearned"], found["oracle"]) if best else None,
        relative_forgetting=relative_forgetting(accuracies["original"]["UA"], ours["UA"]),
        zrf=zrf(by_role["forget"]["unlearned"], by_role["forget"]["random"]) if factory else None,
    )


def _check_distinct(batches: Mapping[str, Batches]) -> None:
    names = list(batches)
    for left, right in ((a, b) for i, a in enumerate(names) for b in names[i + 1 :]):
        if batches[left] is batches[right]:
            raise RecipeError(f"{left} and {right} are the same object")


def _score_all(models: Mapping[str, nn.Module], role: str, batches: Batches, objective: Objective) -> dict[str, Scores]:
    """Return every model's scores on one pass over a set."""
    parts: dict[str, list[Scores]] = {name: [] for name in models}
    for batch in batches:
        for name, model in models.items():
            parts[name].append(score(model, [batch], objective))
    if not any(parts.values()):
        raise RecipeError(f"{role}: holds no batches")
    return {name: joined(found) for name, found in parts.items()}
