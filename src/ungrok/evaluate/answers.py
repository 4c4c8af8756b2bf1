"""Scores on question-answer pairs as rows: accuracies by the same names as for classifiers, and what the paper measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ungrok.core.scores import AnswerScores
from ungrok.evaluate.accuracy import Accuracies
from ungrok.evaluate.generations import fluency
from ungrok.evaluate.leakage import LOSSES, privleak, reference_attack
from ungrok.evaluate.tofu import FILES, UTILITY, column, forget_quality, forget_ratios, model_utility, nearness_to_one

MEMORIZATION = {
    "extraction_forget": "Extraction strength on the forget pairs, in [0, 1]: share of the answer that the model completes by itself.",
    "extraction_retain": "The same on the retained pairs.",
    "ES_forget": "The same as the paper and locuslab/open-unlearning have it: 1/n, not 0, where the last of n tokens is wrong.",
    "ES_retain": "The same on the retained pairs.",
    "probability_forget": "Mean probability per token of the forget answers, exp(−loss).",
    "probability_retain": "The same on the retained pairs.",
}

ANSWERS = {
    "utility": "TOFU's model utility: harmonic mean of nine numbers on retained pairs, real authors and world facts, in [0, 1].",
    "ROUGE_forget": "Mean ROUGE-L recall of what the model answers to the forget questions, in [0, 1].",
    "ROUGE_retain": "The same on retained questions.",
    "ROUGE1_forget": "Mean ROUGE-1 recall of the same answers: words in any order.",
    "ROUGE1_retain": "The same on retained questions.",
    "fluency_forget": "Mean n-gram entropy of those answers, in bits; repetition lowers it.",
    "fluency_retain": "The same on retained questions.",
    "truth_ratio_forget": "Mean of min(R, 1/R) on the forget questions, in [0, 1]; 1 cannot tell wrong answers from the true one.",
    "R_forget": "Mean geometric truth ratio R on the forget questions, from 0; above 1 wrong answers are likelier than the true one.",
    "forget_quality": "The p-value of TOFU's Kolmogorov-Smirnov test of truth ratios against the oracle; small means told apart.",
    "forget_ks": "Its statistic, in [0, 1]; 0 is equal.",
    "loss_auc": "AUC of the attack by loss, forget against held-out pairs; nearer to the oracle's is better.",
    "zlib_auc": "AUC of the loss over the compressed length of the answer.",
    "reference_auc": "AUC of the loss minus the oracle's.",
    "min_k_auc": "AUC of the Min-K% attack.",
    "min_k_plus_plus_auc": "AUC of Min-K%++, the same on normalized log-probabilities.",
    "privleak": "Privacy leakage in percent relative to the oracle, from that AUC; 0 is the oracle, −100 wholly remembered.",
}
"""What is measured at the end of a path where the recipe has a probe."""


def answer_accuracies(
    train: AnswerScores, validation: AnswerScores, test: AnswerScores, *, forget: Tensor, retain: Tensor
) -> Accuracies:
    """Return accuracies of a language model: shares of answer tokens that are its first choice after the true prefix.

    UA and RA are then the "exact memorization" of the forget and the retained pairs; validation holds the train questions in
    other words, test what the base model knew. There are no bystander classes.
    """
    gone, kept = train.of(forget), train.of(retain)
    return Accuracies(
        UA=gone.accuracy,
        RA=kept.accuracy,
        TA=test.accuracy,
        bystander_accuracy=None,
        validation_accuracy=validation.accuracy,
        reference_accuracy=None,
        forget_loss=gone.loss,
        retain_loss=kept.loss,
        validation_loss=validation.loss,
        test_loss=test.loss,
    )


def memorization(train: AnswerScores, *, forget: Tensor, retain: Tensor) -> dict[str, float | None]:
    """Return extraction strength and probability on the forget and the retained pairs, named as in :data:`MEMORIZATION`."""
    return {
        f"{name}_{side}": value
        for side, index in (("forget", forget), ("retain", retain))
        for name, value in train.of(index).memorization().items()
    }


@dataclass(frozen=True)
class Questioned:
    """What a model answered to TOFU's questions.

    Args:
        logs: In the form of TOFU's public code, by the file names of :data:`ungrok.evaluate.tofu.FILES`; where there are held-out
            pairs also the losses of :data:`ungrok.evaluate.leakage.LOSSES`.
        attacks: :meth:`ungrok.evaluate.roc.AttackOutcome.to_dict` of the token attacks, by name.

    """

    logs: Mapping[str, Any]
    attacks: Mapping[str, Mapping[str, Any]]


def said(logs: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Return the part of :data:`ANSWERS` that follows from the logs of one model, names prefixed."""
    row = {}
    if all(FILES[name] in logs for name in UTILITY):
        row[f"{prefix}utility"] = model_utility(logs)
    for name in ("forget", "retain"):
        if FILES[name] in logs:
            texts = [text for text, _ in logs[FILES[name]]["generated_text"].values()]
            row[f"{prefix}ROUGE_{name}"] = float(column(logs, name, "rougeL_recall").mean())
            row[f"{prefix}ROUGE1_{name}"] = float(column(logs, name, "rouge1_recall").mean())
            row[f"{prefix}fluency_{name}"] = sum(map(fluency, texts)) / len(texts)
    if _has_wrong(logs):
        ratios = forget_ratios(logs)
        row[f"{prefix}truth_ratio_forget"] = nearness_to_one(ratios)
        row[f"{prefix}R_forget"] = float(ratios.mean())
    return row


def _has_wrong(logs: Mapping[str, Any]) -> bool:
    """Return whether the forget questions have wrong answers, without which there are no truth ratios."""
    return FILES["forget"] in logs and all(map(len, logs[FILES["forget"]]["average_perturb_loss"].values()))


def beside(model: Questioned, oracle: Questioned) -> dict[str, Any]:
    """Return what the oracle said, prefixed ``oracle_``, and what compares a model with it."""
    row: dict[str, Any] = dict(said(oracle.logs, "oracle_"))
    row |= {f"oracle_{name}_auc": attack["auc"] for name, attack in oracle.attacks.items()}
    if _has_wrong(model.logs):
        row["forget_quality"], row["forget_ks"] = forget_quality(model.logs, oracle.logs)
    if all(name in questioned.logs for questioned in (model, oracle) for name in LOSSES.values()):
        ours, theirs = (
            {side: list(each.logs[name]["avg_loss"].values()) for side, name in LOSSES.items()}
            for each in (model, oracle)
        )
        row["reference_auc"] = reference_attack(ours, theirs).auc
    if "min_k" in model.attacks:
        row["privleak"] = privleak(model.attacks["min_k"]["auc"], oracle.attacks["min_k"]["auc"])
    return row
