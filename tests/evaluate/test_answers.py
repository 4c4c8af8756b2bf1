"""Accuracies and memorization of answers by hand, and what two models say beside each other."""

import math

import pytest
import torch

from ungrok.core.scores import AnswerScores
from ungrok.evaluate.answers import ANSWERS, MEMORIZATION, Questioned, answer_accuracies, beside, memorization, said
from ungrok.evaluate.generations import fluency
from ungrok.evaluate.leakage import LOSSES
from ungrok.evaluate.tofu import FILES, forget_quality, model_utility

TRAIN = AnswerScores(
    torch.tensor([0.0, math.log(2), math.log(4)]),
    torch.tensor([1.0, 0.5, 0.0]),
    torch.tensor([1.0, 0.25, 0.0]),
    torch.tensor([3, 4, 5]),
)
FORGET, RETAIN = torch.tensor([1]), torch.tensor([0, 2])


def test_accuracies_are_shares_of_answer_tokens():
    found = answer_accuracies(TRAIN, TRAIN.of(FORGET), AnswerScores.empty(), forget=FORGET, retain=RETAIN)
    assert (found.UA, found.RA, found.TA, found.validation_accuracy) == (0.5, 0.5, None, 0.5)
    assert (found.forget_loss, found.retain_loss) == (pytest.approx(math.log(2)), pytest.approx(math.log(2)))
    assert (found.bystander_accuracy, found.reference_accuracy, found.test_loss) == (None, None, None)


def test_memorization_by_hand():
    found = memorization(TRAIN, forget=FORGET, retain=RETAIN)
    assert set(found) == set(MEMORIZATION)
    assert found == pytest.approx(
        {
            "extraction_forget": 0.25,
            "extraction_retain": 0.5,
            "ES_forget": 0.25,
            "ES_retain": (1 + 1 / 5) / 2,
            "probability_forget": 0.5,
            "probability_retain": (1 + 0.25) / 2,
        }
    )


def logs(shift):
    table = {
        "avg_gt_loss": {"0": 0.5 + shift, "1": 1.0},
        "avg_paraphrased_loss": {"0": 0.7, "1": 1.5 + shift},
        "average_perturb_loss": {"0": [2.0, 3.0], "1": [1.0 + shift, 0.5]},
        "rougeL_recall": {"0": 0.25, "1": 0.75},
        "rouge1_recall": {"0": 0.5, "1": 1.0},
        "generated_text": {"0": ["a b a b a", "a"], "1": ["a a a a", "b"]},
    }
    return dict.fromkeys(FILES.values(), table)


MODEL = Questioned(logs(0.0), {"loss": {"auc": 0.6}, "min_k": {"auc": 0.9}})
ORACLE = Questioned(logs(0.3), {"loss": {"auc": 0.5}, "min_k": {"auc": 0.6}})


def test_what_the_logs_of_one_model_say():
    row = said(MODEL.logs, "x_")
    assert {name.removeprefix("x_") for name in row} <= set(ANSWERS)
    assert row["x_utility"] == model_utility(MODEL.logs)
    assert row["x_ROUGE_forget"] == row["x_ROUGE_retain"] == 0.5
    assert row["x_ROUGE1_forget"] == row["x_ROUGE1_retain"] == 0.75
    ratios = [math.exp(0.7 - 2.5), math.exp(1.5 - 0.75)]
    assert row["x_R_forget"] == pytest.approx(sum(ratios) / 2)
    assert row["x_truth_ratio_forget"] == pytest.approx((ratios[0] + 1 / ratios[1]) / 2)
    assert row["x_fluency_forget"] == pytest.approx((fluency("a b a b a") + fluency("a a a a")) / 2)
    only = {FILES["forget"]: MODEL.logs[FILES["forget"]]}
    assert set(said(only, "")) == {"ROUGE_forget", "ROUGE1_forget", "fluency_forget", "truth_ratio_forget", "R_forget"}


def test_without_wrong_answers_there_are_no_truth_ratios():
    plain = logs(0.0)[FILES["forget"]] | {"average_perturb_loss": {"0": [], "1": []}}
    asked = Questioned({FILES["forget"]: plain}, {})
    assert set(said(asked.logs, "")) == {"ROUGE_forget", "ROUGE1_forget", "fluency_forget"}
    assert set(beside(asked, asked)) == {"oracle_ROUGE_forget", "oracle_ROUGE1_forget", "oracle_fluency_forget"}


def test_two_models_beside_each_other():
    row = beside(MODEL, ORACLE)
    assert row.items() >= said(ORACLE.logs, "oracle_").items()
    assert (row["oracle_loss_auc"], row["oracle_min_k_auc"]) == (0.5, 0.6)
    assert row["privleak"] == pytest.approx(100 * (0.6 - 0.9) / 0.4)
    assert (row["forget_quality"], row["forget_ks"]) == forget_quality(MODEL.logs, ORACLE.logs)
    assert "reference_auc" not in row
    assert "privleak" not in beside(Questioned(MODEL.logs, {}), ORACLE)


def test_losses_are_held_against_those_of_the_oracle():
    """Members 0.4 and 0.1 below the oracle's losses, non-members 0.2 below and 0.3 above: three of four pairs in order."""
    ours = {
        LOSSES["forget"]: {"avg_loss": {"0": 1.0, "1": 2.0}},
        LOSSES["held_out"]: {"avg_loss": {"0": 0.5, "1": 3.0}},
    }
    theirs = {
        LOSSES["forget"]: {"avg_loss": {"0": 1.4, "1": 2.1}},
        LOSSES["held_out"]: {"avg_loss": {"0": 0.7, "1": 2.7}},
    }
    row = beside(Questioned(logs(0.0) | ours, {}), Questioned(logs(0.3) | theirs, {}))
    assert row["reference_auc"] == 0.75
