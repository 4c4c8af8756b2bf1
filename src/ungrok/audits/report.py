"""What attacks brought back from a model, beside the oracle and the original."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

UNLEARNED, ORACLE, ORIGINAL = SUBJECTS = ("unlearned", "oracle", "original")
"""The models under attack, by the word that stands in the rows."""

READING = (
    "gap: UA of the unlearned model minus UA of the oracle under the same attack; 0 is forgotten as well as by retraining. R is the "
    "largest one. An attack that finds nothing shows that this attack finds nothing."
)

APART = "No part of R, since it brings knowledge along from another model: {attacks}."

WITHOUT = (
    "No oracle was given, so nothing here says how much of what comes back a model would learn that never saw the data: what looks "
    "relearned may be learned anew or carried over from other examples. The original shows only the most there was to bring back."
)


@dataclass(frozen=True)
class StressReport:
    """The results of :func:`ungrok.api.attack`; accuracies in [0, 1], None where a model has diverged.

    Args:
        rows: One dict per model, attack, setting and observed place: ``subject`` (:data:`SUBJECTS`), ``counts`` (whether the attack is
            part of R: :attr:`ungrok.audits.base.StressTest.counts`) and what :func:`ungrok.audits.attacked.attacked` gives.

    """

    rows: list[dict[str, Any]]

    @property
    def attacks(self) -> list[str]:
        """Labels of the attacks, in the order in which they were made."""
        return list(dict.fromkeys(row["attack"] for row in self.rows))

    @property
    def has_oracle(self) -> bool:
        """Whether an oracle stands beside the unlearned model."""
        return any(row["subject"] == ORACLE for row in self.rows)

    def gaps(self) -> list[dict[str, Any]]:
        """Return ``attack``, ``setting``, ``dose``, ``updates``, UA by model and ``gap`` of each place; a gap needs an oracle."""
        places: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self.rows:
            where = {name: row[name] for name in ("attack", "setting", "dose", "updates")}
            values = places.setdefault(tuple(where.values()), where | dict.fromkeys(SUBJECTS))
            values[row["subject"]] = row["UA"]
        return [place | {"gap": _difference(place[UNLEARNED], place[ORACLE])} for place in places.values()]

    @property
    def strongest(self) -> dict[str, dict[str, Any]]:
        """By attack the place of :meth:`gaps` with the largest gap, or without an oracle with the largest UA; the first of equals."""
        measure = "gap" if self.has_oracle else UNLEARNED
        chosen: dict[str, dict[str, Any]] = {}
        for place in self.gaps():
            best = chosen.get(place["attack"])
            if best is None or _above(place[measure], best[measure]):
                chosen[place["attack"]] = place
        return chosen

    @property
    def worst_gaps(self) -> dict[str, float | None]:
        """The largest gap to the oracle by attack; None without an oracle, or where a model has diverged everywhere."""
        return {attack: place["gap"] for attack, place in self.strongest.items()}

    @property
    def worst_gap(self) -> float | None:
        """R: the largest gap to the oracle over all attacks that count, settings and places."""
        known = [gap for attack, gap in self.worst_gaps.items() if gap is not None and attack not in self.apart]
        return max(known, default=None)

    @property
    def apart(self) -> list[str]:
        """Labels of the attacks that are no part of R."""
        return list(dict.fromkeys(row["attack"] for row in self.rows if not row["counts"]))

    def table(self) -> str:
        """Return one line per attack: where it is strongest, UA of each model there, and the gap; then R and what it means."""
        names = [name for name in SUBJECTS if any(row["subject"] == name for row in self.rows)]
        head = ["attack", "strongest at", *(f"UA {name}" for name in names), *(["gap"] if self.has_oracle else [])]
        lines = [
            [attack, self._where(place), *(_number(place[name]) for name in names)]
            + ([_number(place["gap"])] if self.has_oracle else [])
            for attack, place in self.strongest.items()
        ]
        if not self.has_oracle:
            return f"{_aligned([head, *lines])}\n{WITHOUT}"
        apart = f" {APART.format(attacks=', '.join(self.apart))}" if self.apart else ""
        return f"{_aligned([head, *lines])}\nR {_number(self.worst_gap)}\n{READING}{apart}"

    def _where(self, place: Mapping[str, Any]) -> str:
        unit = next(row["dose_name"] for row in self.rows if row["attack"] == place["attack"])
        return ", ".join(filter(None, [place["setting"], f"{unit} {place['dose']:g}"]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return {"rows": self.rows, "worst_gaps": self.worst_gaps, "worst_gap": self.worst_gap}

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def __str__(self) -> str:
        return self.table()


def _difference(ours: float | None, oracle: float | None) -> float | None:
    return None if ours is None or oracle is None else ours - oracle


def _above(value: float | None, best: float | None) -> bool:
    return value is not None and (best is None or value > best)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _aligned(lines: Iterable[list[str]]) -> str:
    """Return cells in columns, text on the left and numbers on the right."""
    rows = list(lines)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
