"""What a language model's logs and attacks say at the end of a path, beside its oracle's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ungrok.evaluate.generations import fluency
from ungrok.evaluate.leakage import privleak
from ungrok.evaluate.tofu import FILES, UTILITY, column, forget_quality, forget_ratios, model_utility


@dataclass(frozen=True)
class Told:
    """What one model told.

    Args:
        logs: In the form of TOFU's public code.
        aucs: By attack, in [0, 1]; none where there was nothing to compare the forget pairs with.

    """

    logs: Any
    aucs: Mapping[str, float]


def answer_audits(end: dict[str, Any], model: Told | None, oracle: Told | None) -> list[dict[str, Any]]:
    """Return one row on the end of a path.

    Args:
        end: The last row of the path.
        model: What the model told there; None where it was not asked.
        oracle: What the oracle told.

    Returns:
        Where the path ended, UA, RA, TA and extraction strengths, and :data:`ungrok.evaluate.answers.ANSWERS`; nothing where the
        model was not asked.

    """
    if model is None:
        return []
    row = {name: end[name] for name in ("dose", "updates", "diverged", "UA", "RA", "TA", "ES_forget", "ES_retain")}
    row |= {f"{name}_passes": end[f"{name}_passes"] for name in ("forget", "retain")}
    row |= _said(model.logs, "") | {f"{name}_auc": auc for name, auc in model.aucs.items()}
    if oracle is not None:
        row |= _beside(model, oracle)
    return [row]


def _said(logs: Any, prefix: str) -> dict[str, float]:
    row = {}
    if all(FILES[name] in logs for name in UTILITY):
        row[f"{prefix}utility"] = model_utility(logs)
    for name in ("forget", "retain"):
        if FILES[name] in logs:
            texts = [text for text, _ in logs[FILES[name]]["generated_text"].values()]
            row[f"{prefix}ROUGE_{name}"] = float(column(logs, name, "rougeL_recall").mean())
            row[f"{prefix}fluency_{name}"] = sum(map(fluency, texts)) / len(texts)
    if FILES["forget"] in logs:
        row[f"{prefix}truth_ratio_forget"] = float(forget_ratios(logs).mean())
    return row


def _beside(model: Told, oracle: Told) -> dict[str, Any]:
    row: dict[str, Any] = dict(_said(oracle.logs, "oracle_"))
    row |= {f"oracle_{name}_auc": auc for name, auc in oracle.aucs.items()}
    if FILES["forget"] in model.logs:
        row["forget_quality"], row["forget_ks"] = forget_quality(model.logs, oracle.logs)
    if "min_k" in model.aucs:
        row["privleak"] = privleak(model.aucs["min_k"], oracle.aucs["min_k"])
    return row
