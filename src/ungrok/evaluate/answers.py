"""Scores on question-answer pairs as rows: accuracies by the same names as for classifiers, and what the paper measures."""

from __future__ import annotations

from torch import Tensor

from ungrok.core.causal_lm import AnswerScores
from ungrok.evaluate.accuracy import Accuracies

MEMORIZATION = {
    "ES_forget": "Extraction strength on the forget pairs, in [0, 1]: share of the answer that the model completes by itself.",
    "ES_retain": "The same on the retained pairs.",
    "probability_forget": "Mean probability per token of the forget answers, exp(−loss).",
    "probability_retain": "The same on the retained pairs.",
}

ANSWERS = {
    "utility": "TOFU's model utility: harmonic mean of nine numbers on retained pairs, real authors and world facts, in [0, 1].",
    "ROUGE_forget": "Mean ROUGE-L recall of what the model answers to the forget questions, in [0, 1].",
    "ROUGE_retain": "The same on retained questions.",
    "fluency_forget": "Mean n-gram entropy of those answers, in bits; repetition lowers it.",
    "fluency_retain": "The same on retained questions.",
    "truth_ratio_forget": "Mean geometric truth ratio on the forget questions; 1 cannot tell wrong answers from the true one.",
    "forget_quality": "The p-value of TOFU's Kolmogorov-Smirnov test of truth ratios against the oracle; small means told apart.",
    "forget_ks": "Its statistic, in [0, 1]; 0 is equal.",
    "min_k_auc": "AUC of the Min-K% attack, forget against held-out pairs; nearer to the oracle's is better.",
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
    found: dict[str, float | None] = {}
    for name, index in (("forget", forget), ("retain", retain)):
        scores = train.of(index)
        found[f"ES_{name}"], found[f"probability_{name}"] = scores.extraction_strength, scores.probability
    return found
