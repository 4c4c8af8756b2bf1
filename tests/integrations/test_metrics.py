"""Names of metrics in other libraries."""

import pytest
import torch

from ungrok.integrations.metrics import from_lightning, from_trainer, renamed


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("eval_accuracy", "validation_accuracy"),
        ("eval_loss", "validation_loss"),
        ("eval_train_accuracy", "train_accuracy"),
        ("eval_validation_accuracy", "validation_accuracy"),
        ("eval_f1", "f1"),
        ("eval_runtime", None),
        ("eval_train_runtime", None),
        ("eval_samples_per_second", None),
        ("eval_model_preparation_time", None),
        ("epoch", None),
    ],
)
def test_names_of_a_trainer(theirs, ours):
    assert from_trainer(theirs) == ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("val_acc", "validation_accuracy"),
        ("val/acc", "validation_accuracy"),
        ("val_accuracy", "validation_accuracy"),
        ("validation_accuracy", "validation_accuracy"),
        ("train_acc", "train_accuracy"),
        ("val_loss", "validation_loss"),
        ("value", "value"),
    ],
)
def test_names_of_a_lightning_module(theirs, ours):
    assert from_lightning(theirs) == ours


def test_names_that_are_given_go_before_the_rule_and_what_is_no_finite_number_is_left_out():
    logged = {
        "eval_accuracy": 0.5,
        "eval_exact": torch.tensor(0.25),
        "eval_loss": float("nan"),
        "eval_text": "none",
        "epoch": 1,
    }
    assert renamed(logged, {"validation_accuracy": "eval_exact"}, from_trainer) == {"validation_accuracy": 0.25}
    assert renamed(logged, {"exact": "eval_exact"}, from_trainer) == {"exact": 0.25, "validation_accuracy": 0.5}
