"""UA, RA, TA and companions by hand."""

import math

import pytest
import torch

from ungrok.core.scores import ClassScores
from ungrok.evaluate.accuracy import accuracies, class_accuracies

NAN = math.nan


def scores(predictions, targets, losses=None):
    return ClassScores(
        torch.tensor(losses or [0.5] * len(targets), dtype=torch.float64),
        torch.tensor(predictions),
        torch.tensor(targets),
    )


TRAIN = scores([0, 0, 1, 2, 2, 0], [0, 1, 1, 2, 2, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
VALIDATION = scores([0, 1, 1, 0], [0, 0, 1, 2], [1.0, 2.0, 3.0, 5.0])
TEST = scores([0, 1, 2, 1, 2], [0, 0, 2, 2, 1], [1.0, 1.0, 1.0, 1.0, 6.0])
SPLIT = {"forget": torch.tensor([0, 1]), "retain": torch.tensor([2, 3, 4, 5])}


def found(train=TRAIN, validation=VALIDATION, test=TEST, classes=(0, 1)):
    return accuracies(train, validation, test, **SPLIT, classes=classes).to_dict()


def test_by_hand():
    assert found() == pytest.approx(
        {
            "UA": 1 / 2,
            "RA": 3 / 4,
            "TA": 2 / 5,
            "bystander_accuracy": 1 / 2,  # class 2 of the test data: one of two
            "validation_accuracy": 1 / 2,
            "reference_accuracy": 2 / 3,  # classes 0 and 1 of the validation data
            "forget_loss": 1.5,
            "retain_loss": 4.5,
            "validation_loss": 2.75,
            "test_loss": 2.0,
        }
    )


def test_no_bystanders_where_every_class_is_touched():
    all_touched = found(classes=(0, 1, 2))
    assert all_touched["bystander_accuracy"] is None
    assert all_touched["reference_accuracy"] == all_touched["validation_accuracy"]


def test_a_class_without_validation_examples_has_no_reference():
    assert found(validation=scores([1, 1], [1, 1]), classes=(0,))["reference_accuracy"] is None


@pytest.mark.parametrize("bad", [(-1, 0.5), (1, NAN)], ids=["logits", "loss"])
def test_divergence_shows_where_it_happened_and_only_there(bad):
    prediction, loss = bad
    train = scores([0, 0, prediction, 2, 2, 0], [0, 1, 1, 2, 2, 2], [1.0, 2.0, loss, 4.0, 5.0, 6.0])
    result = found(train=train)
    assert result["UA"] == 1 / 2
    assert result["RA"] is None
    assert result["retain_loss"] is None
    assert result["TA"] == 2 / 5


def test_accuracies_of_each_class_by_hand():
    """Two of three, none of one, and all of two; a class that does not occur has none."""
    predictions, targets = [0, 0, 5, 5, 5, 5], [0, 0, 0, 2, 5, 5]
    assert class_accuracies(scores(predictions, targets)) == {0: pytest.approx(2 / 3), 2: 0, 5: 1}
    assert class_accuracies(scores(predictions, targets, [NAN] * 6)) == {}
