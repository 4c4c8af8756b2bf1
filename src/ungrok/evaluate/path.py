"""Rows: everything that is measured at every observed place of an unlearning path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ungrok.core.causal_lm import AnswerScores
from ungrok.core.scores import Scores
from ungrok.evaluate.accuracy import Accuracies, accuracies
from ungrok.evaluate.answers import answer_accuracies, memorization
from ungrok.evaluate.distances import MEASURES, SETS, distances, relative_forgetting, tug_of_war, tug_of_war_membership
from ungrok.evaluate.gap import NAMES, oracle_gap
from ungrok.evaluate.membership import ATTACKS, loss_auc, membership
from ungrok.evaluate.rewind import rewind
from ungrok.evaluate.roc import AttackOutcome
from ungrok.evaluate.targets import first_passage, target_column


def _at(tensors: dict[str, Tensor], name: str, place: int) -> Scores:
    """Return the scores of a place; logits are kept for the last one only."""
    predictions = tensors[f"{name}.predictions"]
    logits = tensors.get(f"{name}.logits") if place == len(predictions) - 1 else None
    return Scores(tensors[f"{name}.losses"][place], predictions[place].long(), tensors[f"{name}.targets"], logits)


def _text_at(tensors: dict[str, Tensor], name: str, place: int) -> AnswerScores:
    return AnswerScores(*(tensors[f"{name}.{part}"][place] for part in ("losses", "matches", "extraction")))


def is_text(tensors: dict[str, Tensor]) -> bool:
    """Return whether these are the scores of a language model."""
    return "train.matches" in tensors


def _summary(tensors: dict[str, Tensor], place: int, split: dict[str, Any]) -> Accuracies:
    names = ("train", "validation", "test")
    if not is_text(tensors):
        return accuracies(*(_at(tensors, name, place) for name in names), **split)
    parts = (_text_at(tensors, name, place) for name in names)
    return answer_accuracies(*parts, forget=split["forget"], retain=split["retain"])


def _memory(tensors: dict[str, Tensor], place: int, split: dict[str, Any]) -> dict[str, float | None]:
    """Return what tells of memorization, for language models."""
    if not is_text(tensors):
        return {}
    return memorization(_text_at(tensors, "train", place), forget=split["forget"], retain=split["retain"])


def _auc(tensors: dict[str, Tensor], place: int, forget: Tensor) -> float | None:
    """Return the AUC of the loss attack; a language model's test data are of another kind than its forget data."""
    return None if is_text(tensors) else loss_auc(**_sets(tensors, place, forget))


def _sets(tensors: dict[str, Tensor], place: int, forget: Tensor) -> dict[str, Scores]:
    return {"forget": _at(tensors, "train", place).of(forget), "test": _at(tensors, "test", place)}


def _reference(oracle: dict[str, Tensor] | None, split: dict[str, Any]) -> dict[str, float | None]:
    return _summary(oracle, 0, split).to_dict() if oracle else dict.fromkeys(NAMES)


def _passes(record: dict[str, Any], place: int) -> dict[str, float]:
    return {f"{role}_passes": record["passes"][role][place] for role in ("forget", "retain")}


def path_rows(
    path: dict[str, Tensor], record: dict[str, Any], targets: Sequence[float | str], oracle: dict[str, Tensor] | None
) -> list[dict[str, Any]]:
    """Return one row per observed place.

    Args:
        path: For train, validation and test: ``<split>.predictions`` and ``<split>.losses`` of shape (places, n), and
            ``<split>.targets``; for language models ``<split>.losses``, ``<split>.matches`` and ``<split>.extraction``.
            ``forget`` and ``retain`` indices.
        record: ``doses``, ``updates``, ``passes``, ``classes`` and ``one_shot`` of the path.
        targets: Levels of UA, or ``"oracle"``.
        oracle: The same tensors of the oracle, one place.

    Returns:
        Passes over the data, accuracies, losses, ``diverged``, ``rewound`` (the place that rewinding selects), ``membership_auc``
        (of the loss attack), ``reached_<target>`` (from the first place that reaches it on; None without an oracle), the oracle's
        UA, RA, TA, the gap to it, and its own ``oracle_membership_auc``. For language models also
        :data:`ungrok.evaluate.answers.MEMORIZATION`, and the oracle's extraction strengths; their attacks are made elsewhere.

    """
    split = {"forget": path["forget"], "retain": path["retain"], "classes": record["classes"]}
    places = [_summary(path, place, split) for place in range(len(record["doses"]))]
    reference = _reference(oracle, split)
    oracle_auc = _auc(oracle, 0, path["forget"]) if oracle else None
    best = _memory(oracle, 0, split) if oracle else {}
    ua = [place.UA for place in places]
    back_to = rewind(ua, [place.reference_accuracy for place in places])
    rows = []
    for index, place in enumerate(places):
        row: dict[str, Any] = {
            "dose": record["doses"][index],
            "updates": None if record["one_shot"] else record["updates"][index],
            **_passes(record, index),
            **place.to_dict(),
            **(memory := _memory(path, index, split)),
            "diverged": None in (place.UA, place.RA, place.TA),
            "rewound": index == back_to,
            "membership_auc": _auc(path, index, path["forget"]),
        }
        for target in targets:
            level = reference["UA"] if isinstance(target, str) else target
            passage = first_passage(ua, level)
            row[target_column(target)] = None if passage is None else passage != "never" and index >= passage
        row |= {f"oracle_{name}": reference[name] for name in ("UA", "RA", "TA")}
        row |= {f"oracle_{name}": best.get(name) for name in memory if name.startswith("ES")}
        row["oracle_gap"] = oracle_gap(place.to_dict(), reference)
        row["oracle_membership_auc"] = oracle_auc
        rows.append(row)
    return rows


def oracle_accuracies(scores: dict[str, Tensor], forget: Tensor, retain: Tensor, classes: Sequence[int]) -> Accuracies:
    """Return the accuracies of an oracle from its stored scores (one place) on a forget split."""
    return _summary(scores, 0, {"forget": forget, "retain": retain, "classes": classes})


def path_audits(
    path: dict[str, Tensor], record: dict[str, Any], oracle: dict[str, Tensor] | None, seed: int = 0
) -> list[dict[str, Any]]:
    """Return one row on the end of a path: attacks on it and on the oracle, and its distance from the oracle.

    Args:
        path: As for :func:`path_rows`, and the ``<split>.logits`` of the last place, shape (n, classes).
        record: As for :func:`path_rows`.
        oracle: The same tensors of the oracle, one place.
        seed: Seed of the attackers' draws, the same for both models.

    Returns:
        Where the path ended and at what cost; UA, RA and TA; ``relative_forgetting``; to the oracle ``oracle_gap``, ``tug_of_war`` and
        its membership form, and ``disagreement``, ``js_divergence`` and ``activation_distance`` on the forget and on the test data;
        ``members`` and ``non_members`` of the threshold attacks and ``pairs`` of the trained ones; per attack ``<attack>_auc``,
        ``_low``, ``_high``, ``_tpr_at_0_01`` and ``_tpr_at_0_001``, and the same of the oracle as ``oracle_<attack>_auc`` and so on.
        None where a model is missing or has diverged.

    """
    split = {"forget": path["forget"], "retain": path["retain"], "classes": record["classes"]}
    last, best = len(record["doses"]) - 1, _reference(oracle, split)
    start, end = (_summary(path, place, split).to_dict() for place in (0, last))
    ours, theirs = _sets(path, last, path["forget"]), _sets(oracle, 0, path["forget"]) if oracle else None
    found, reference = membership(**ours, seed=seed), membership(**theirs, seed=seed) if theirs else None
    return [
        {
            "dose": record["doses"][last],
            "updates": None if record["one_shot"] else record["updates"][last],
            **_passes(record, last),
            "diverged": None in (end["UA"], end["RA"], end["TA"]),
            **{name: end[name] for name in NAMES},
            "relative_forgetting": relative_forgetting(start["UA"], end["UA"]),
            "oracle_gap": oracle_gap(end, best),
            "tug_of_war": tug_of_war(end, best),
            "tug_of_war_membership": tug_of_war_membership(end, best, found, reference),
            **(distances(ours, theirs) if theirs else {f"{name}_{part}": None for name in MEASURES for part in SETS}),
            "members": found["loss"].members if found else None,
            "non_members": found["loss"].non_members if found else None,
            "pairs": found["svc"].members if found else None,
            **_columns(found, ""),
            **_columns(reference, "oracle_"),
        }
    ]


FIGURES = ("auc", "low", "high", "tpr_at_0_01", "tpr_at_0_001")


def _columns(found: dict[str, AttackOutcome] | None, prefix: str) -> dict[str, float | None]:
    return {
        f"{prefix}{name}_{figure}": getattr(found[name], figure) if found else None
        for name in ATTACKS
        for figure in FIGURES
    }
