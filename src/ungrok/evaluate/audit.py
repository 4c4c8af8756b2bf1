"""One unlearned model against the original and, if there is one, the oracle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from ungrok.evaluate.examination import ACCURACIES
from ungrok.evaluate.membership import READING
from ungrok.evaluate.roc import AttackOutcome


class Shown(Protocol):
    """Results of another kind that stand beside those of an audit."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""


@dataclass(frozen=True)
class Audit:
    """The results of an audit; accuracies in [0, 1], None where a model has diverged or a set is too small.

    Args:
        accuracies: ``original``, ``unlearned`` and ``oracle`` (where given) to UA, RA and TA; larger UA means more is remembered.
        classes: The same models to accuracies per class on forget, retain and test; empty for language models.
        memorization: The same models to extraction strength and probability on forget and retain, see
            :data:`ungrok.evaluate.answers.MEMORIZATION`; empty for classifiers.
        membership: The same models to attacks by name; see ``reading``.
        distances: From the unlearned model to the original and, where given, to the oracle; see :func:`ungrok.api.audit`.
        oracle_gap: Mean of ``|UA − UA*|``, ``|RA − RA*|`` and ``|TA − TA*|``; None without an oracle.
        tug_of_war: 1 is the oracle itself; None without one.
        tug_of_war_membership: The same with the AUC of the loss attack in the place of UA.
        relative_forgetting: Share of the starting UA that is lost.
        zrf: Zero-retrain-forgetting score on the forget set; None without a factory.
        reading: Which direction of the attack's AUC is better, in a sentence.
        stress: What attacks brought back, a :class:`ungrok.audits.report.StressReport`; None where none was asked for.
        shadows: The unlearned model beside shadow models, a :class:`ungrok.audits.one_model.AgainstShadows`; None where none were given.

    """

    accuracies: dict[str, dict[str, float | None]]
    classes: dict[str, dict[str, dict[int, float]]]
    memorization: dict[str, dict[str, float | None]]
    membership: dict[str, dict[str, AttackOutcome] | None]
    distances: dict[str, dict[str, float | None]]
    oracle_gap: float | None
    tug_of_war: float | None
    tug_of_war_membership: float | None
    relative_forgetting: float | None
    zrf: float | None
    reading: str = READING
    stress: Shown | None = None
    shadows: Shown | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        attacks = {
            model: {name: outcome.to_dict() for name, outcome in outcomes.items()} if outcomes else None
            for model, outcomes in self.membership.items()
        }
        beside = {"stress": self.stress, "shadows": self.shadows}
        shown = {name: part.to_dict() for name, part in beside.items() if part}
        return {**vars(self), "membership": attacks} | shown

    def __str__(self) -> str:
        more = list(next(iter(self.memorization.values()), {}))
        lines = [f"{'':>10}  {' '.join(f'{name:>6}' for name in [*ACCURACIES, *more])}"]
        for model, values in self.accuracies.items():
            row = values | self.memorization.get(model, {})
            cells = " ".join(f"{_number(row[name]):>{max(6, len(name))}}" for name in [*ACCURACIES, *more])
            lines.append(f"{model:>10}  {cells}")
        lines.append(
            f"gap to the oracle {_number(self.oracle_gap)}, share of UA lost {_number(self.relative_forgetting)}"
        )
        lines.append(f"{'MIA AUC':>18}{''.join(f'{model:>22}' for model in self.membership)}")
        for name in dict.fromkeys(name for attacks in self.membership.values() for name in attacks or {}):
            outcomes = [attacks.get(name) if attacks else None for attacks in self.membership.values()]
            lines.append(f"{name:>18}{''.join(f'{_interval(outcome):>22}' for outcome in outcomes)}")
        return "\n".join([*lines, self.reading, *(str(part) for part in (self.stress, self.shadows) if part)])

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(outcome: AttackOutcome | None) -> str:
    return f"{outcome.auc:.3f} [{outcome.low:.3f}, {outcome.high:.3f}]" if outcome else "-"
