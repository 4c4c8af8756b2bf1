"""What is asked of data in one place only, for both families."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ungrok.core.causal_lm import AnswerScores
from ungrok.core.scores import Scores
from ungrok.data import Data, Split
from ungrok.study.family import SPLITS, fits, kind_of_scores, stack, stackable, without_split
from ungrok.train import Training


def classes(value, logits=None):
    return Scores(torch.full((2,), value), torch.tensor([1, 0]), torch.tensor([1, 1]), logits)


def answers(value):
    return AnswerScores(*(torch.full((2,), value + k) for k in range(3)))


def test_scores_of_classes_are_stacked_with_targets_once_and_the_last_logits():
    last = torch.ones(2, 3)
    places = [dict.fromkeys(SPLITS, classes(0.5, torch.zeros(2, 3))), dict.fromkeys(SPLITS, classes(1.5, last))]
    tensors = stack(places)
    assert kind_of_scores(places[0]) == "class"
    assert tensors["test.losses"].tolist() == [[0.5, 0.5], [1.5, 1.5]]
    assert tensors["test.predictions"].dtype == torch.int16
    assert tensors["train.targets"].tolist() == [1, 1]
    assert torch.equal(tensors["validation.logits"], last)


def test_scores_of_answers_are_stacked_part_by_part():
    places = [dict.fromkeys(SPLITS, answers(value)) for value in (0.0, 10.0)]
    tensors = stack(places)
    assert kind_of_scores(places[0]) == "answer"
    assert tensors.keys() == {f"{split}.{part}" for split in SPLITS for part in ("losses", "matches", "extraction")}
    assert tensors["train.extraction"].tolist() == [[2.0, 2.0], [12.0, 12.0]]


def test_only_training_data_lose_what_is_forgotten():
    split = Split(torch.arange(4.0)[:, None], torch.tensor([0, 1, 0, 1]))
    data = Data(split, split, split, 2, torch.zeros(0, dtype=torch.int64))
    left = without_split(data, SimpleNamespace(retain=torch.tensor([0, 3])))
    assert left.train.targets.tolist() == [0, 1]
    assert left.test is split


@pytest.mark.parametrize(
    ("shape", "expected"), [((2, 10), True), ((2, 11), False), ((3, 10), False), ((2, 10, 1), False)]
)
def test_logits_of_a_classifier_are_one_row_per_example_and_one_column_per_class(shape, expected):
    split = Split(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64))
    data = Data(split, split, split, 10, torch.zeros(0, dtype=torch.int64))
    assert fits(torch.zeros(shape), 2, data) == expected
    assert not fits("logits", 2, data)


def test_language_models_are_trained_one_by_one():
    assert stackable(Training(loss="mse"))
    assert not stackable(Training(loss="causal_lm"))
