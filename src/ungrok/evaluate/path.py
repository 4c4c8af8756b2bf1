"""Rows: everything that is measured at every observed place of an unlearning path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ungrok.evaluate.accuracy import Accuracies
from ungrok.evaluate.answers import Questioned
from ungrok.evaluate.gap import NAMES, oracle_gap
from ungrok.evaluate.places import PLACES, Places, place_of
from ungrok.evaluate.rewind import rewind
from ungrok.evaluate.targets import first_passage, target_column

BESIDE = (*NAMES, "bystander_accuracy", "validation_accuracy")
"""Accuracies of the oracle that stand in every row of a path, each as ``oracle_<name>``."""


def _both(
    path: Mapping[str, Tensor], record: Mapping[str, Any], oracle: Mapping[str, Tensor] | None
) -> tuple[Places[Any], Places[Any] | None]:
    """Return the places of a path, and that of its oracle on the same forget split."""
    cls, split = PLACES[record["scores"]], (path["forget"], path["retain"], record["classes"])
    return cls(path, *split), cls(oracle, *split) if oracle else None


def path_rows(
    path: Mapping[str, Tensor],
    record: Mapping[str, Any],
    targets: Sequence[float | str],
    oracle: Mapping[str, Tensor] | None,
) -> list[dict[str, Any]]:
    """Return one row per observed place.

    Args:
        path: What :meth:`ungrok.core.scores.Scores.stack` made of the scores on train, validation and test, and ``forget``
            and ``retain`` indices; where places were scored on a draw of examples, also which (:mod:`ungrok.evaluate.drawn`).
        record: ``scores`` (the kind of scores), ``doses``, ``updates``, ``passes``, ``classes`` and ``one_shot`` of the path, and
            maybe ``moved``.
        targets: Levels of UA, or ``"oracle"``.
        oracle: The same tensors of the oracle, one place.

    Returns:
        Passes over the data, :data:`ungrok.evaluate.displacement.DISPLACEMENTS`, accuracies, losses, ``diverged``, ``rewound`` (the place that rewinding selects), ``membership_auc``
        (of the loss attack), ``reached_<target>`` (from the first place that reaches it on; None without an oracle), the oracle's
        :data:`BESIDE`, the gap to it, and its own ``oracle_membership_auc``. For language models also
        :data:`ungrok.evaluate.answers.MEMORIZATION`, and the oracle's extraction strengths; their attacks are made elsewhere.

    """
    places, best = _both(path, record, oracle)
    along, memories = zip(*map(places.estimates, range(len(record["doses"]))), strict=True)
    reference = best.accuracies(0).to_dict() if best else dict.fromkeys(BESIDE)
    oracle_auc, oracle_memory = (best.membership_auc(0), best.memorization(0)) if best else (None, {})
    ua = [place.UA for place in along]
    back_to = rewind(ua, [place.reference_accuracy for place in along])
    rows = []
    for index, place in enumerate(along):
        memory = memories[index]
        row: dict[str, Any] = {
            **place_of(record, index),
            **{name: values[index] for name, values in record.get("moved", {}).items()},
            **place.to_dict(),
            **memory,
            "diverged": None in (place.UA, place.RA, place.TA),
            "rewound": index == back_to,
            "membership_auc": places.attacked(index),
        }
        for target in targets:
            level = reference["UA"] if isinstance(target, str) else target
            passage = first_passage(ua, level)
            row[target_column(target)] = None if passage is None else passage != "never" and index >= passage
        row |= {f"oracle_{name}": reference[name] for name in BESIDE}
        row |= {f"oracle_{name}": oracle_memory.get(name) for name in memory if name.startswith(("ES", "extraction"))}
        row["oracle_gap"] = oracle_gap(place.to_dict(), reference)
        row["oracle_membership_auc"] = oracle_auc
        rows.append(row)
    return rows


def path_audits(
    path: Mapping[str, Tensor],
    record: Mapping[str, Any],
    oracle: Mapping[str, Tensor] | None,
    seed: int = 0,
    *,
    asked: Questioned | None = None,
    oracle_asked: Questioned | None = None,
) -> list[dict[str, Any]]:
    """Return one row on the end of a path: attacks on it and on the oracle, and its distance from the oracle.

    Args:
        path: As for :func:`path_rows`; of classifiers also the ``<split>.logits`` of the last place, shape (n, classes).
        record: As for :func:`path_rows`.
        oracle: The same tensors of the oracle, one place.
        seed: Seed of the attackers' draws, the same for both models.
        asked: What the language model at the end answered; there is no row without it. Not read for classifiers.
        oracle_asked: What the oracle answered.

    Returns:
        Where the path ended and at what cost; UA, RA and TA. Of classifiers ``relative_forgetting``; to the oracle ``oracle_gap``,
        ``tug_of_war`` and its membership form, and ``disagreement``, ``js_divergence`` and ``activation_distance`` on the forget
        and on the test data; ``members`` and ``non_members`` of the threshold attacks and ``pairs`` of the trained ones; per attack
        ``<attack>_auc``, ``_low``, ``_high``, ``_tpr_at_0_01`` and ``_tpr_at_0_001``, and the same of the oracle as
        ``oracle_<attack>_auc`` and so on. None where a model is missing or has diverged.
        Of language models extraction strengths and :data:`ungrok.evaluate.answers.ANSWERS`.

    """
    places, best = _both(path, record, oracle)
    return places.audits(record, best, seed, asked, oracle_asked)


def place_accuracies(
    scores: Mapping[str, Tensor], forget: Tensor, retain: Tensor, classes: Sequence[int], kind: str, place: int = 0
) -> Accuracies:
    """Return the accuracies at one place on a forget split, of an oracle for instance, from stored scores and their kind."""
    return PLACES[kind](scores, forget, retain, classes).accuracies(place)
