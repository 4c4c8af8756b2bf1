"""Rows: everything that is measured at every observed place of an unlearning path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ungrok.core.scores import Scores
from ungrok.evaluate.accuracy import Accuracies, accuracies
from ungrok.evaluate.gap import oracle_gap
from ungrok.evaluate.rewind import rewind
from ungrok.evaluate.targets import first_passage, target_column


def _at(tensors: dict[str, Tensor], name: str, place: int) -> Scores:
    predictions = tensors[f"{name}.predictions"][place].long()
    return Scores(tensors[f"{name}.losses"][place], predictions, tensors[f"{name}.targets"])


def _summary(tensors: dict[str, Tensor], place: int, split: dict[str, Any]) -> Accuracies:
    return accuracies(*(_at(tensors, name, place) for name in ("train", "validation", "test")), **split)


def path_rows(
    path: dict[str, Tensor], record: dict[str, Any], targets: Sequence[float | str], oracle: dict[str, Tensor] | None
) -> list[dict[str, Any]]:
    """Return one row per observed place.

    Args:
        path: For train, validation and test: ``<split>.predictions`` and ``<split>.losses`` of shape (places, n), and
            ``<split>.targets``; ``forget`` and ``retain`` indices.
        record: ``doses``, ``updates``, ``classes`` and ``one_shot`` of the path.
        targets: Levels of UA, or ``"oracle"``.
        oracle: The same tensors of the oracle, one place.

    Returns:
        Accuracies, losses, ``diverged``, ``rewound`` (the place that rewinding selects), ``reached_<target>`` (from the
        first place that reaches it on; None without an oracle), the oracle's UA, RA, TA and the gap to it.

    """
    split = {"forget": path["forget"], "retain": path["retain"], "classes": record["classes"]}
    places = [_summary(path, place, split) for place in range(len(record["doses"]))]
    reference = _summary(oracle, 0, split).to_dict() if oracle else dict.fromkeys(("UA", "RA", "TA"))
    ua = [place.UA for place in places]
    back_to = rewind(ua, [place.reference_accuracy for place in places])
    rows = []
    for index, place in enumerate(places):
        row: dict[str, Any] = {
            "dose": record["doses"][index],
            "updates": None if record["one_shot"] else record["updates"][index],
            **place.to_dict(),
            "diverged": None in (place.UA, place.RA, place.TA),
            "rewound": index == back_to,
        }
        for target in targets:
            level = reference["UA"] if isinstance(target, str) else target
            passage = first_passage(ua, level)
            row[target_column(target)] = None if passage is None else passage != "never" and index >= passage
        row |= {f"oracle_{name}": reference[name] for name in ("UA", "RA", "TA")}
        row["oracle_gap"] = oracle_gap(place.to_dict(), reference)
        rows.append(row)
    return rows


def oracle_accuracies(scores: dict[str, Tensor], forget: Tensor, retain: Tensor, classes: Sequence[int]) -> Accuracies:
    """Return the accuracies of an oracle from its stored scores (one place) on a forget split."""
    return _summary(scores, 0, {"forget": forget, "retain": retain, "classes": classes})
