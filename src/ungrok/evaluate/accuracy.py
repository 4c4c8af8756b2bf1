"""UA, RA, TA and their companions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ungrok.core.scores import ClassScores


@dataclass(frozen=True)
class Accuracies:
    """Accuracies in [0, 1] and mean losses of one model; None where the model has diverged or the set is empty.

    Args:
        UA: Accuracy on the forget data; larger means more is remembered.
        RA: Accuracy on the retained training data.
        TA: Accuracy on the test data.
        bystander_accuracy: Test accuracy on classes without forget examples; None where every class has some.
        validation_accuracy: Accuracy on the validation data.
        reference_accuracy: Validation accuracy on the classes that have forget examples.
        forget_loss: Mean loss on the forget data, in the objective's own unit; the other losses likewise.

    """

    UA: float | None
    RA: float | None
    TA: float | None
    bystander_accuracy: float | None
    validation_accuracy: float | None
    reference_accuracy: float | None
    forget_loss: float | None
    retain_loss: float | None
    validation_loss: float | None
    test_loss: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Return the values by name."""
        return asdict(self)


def accuracies(
    train: ClassScores,
    validation: ClassScores,
    test: ClassScores,
    *,
    forget: Tensor,
    retain: Tensor,
    classes: Sequence[int],
) -> Accuracies:
    """Compute all accuracies of one model from its scores.

    Args:
        train: Scores on all training data.
        validation: Scores on the validation data.
        test: Scores on the test data.
        forget: int64 indices into the training data.
        retain: int64 indices into the training data.
        classes: Classes with at least one forget example.

    """
    touched = torch.tensor(list(classes))
    bystanders = ~torch.isin(test.targets, touched)
    forgotten, retained = train.of(forget), train.of(retain)
    return Accuracies(
        UA=forgotten.accuracy,
        RA=retained.accuracy,
        TA=test.accuracy,
        bystander_accuracy=test.of(bystanders).accuracy,
        validation_accuracy=validation.accuracy,
        reference_accuracy=validation.of(torch.isin(validation.targets, touched)).accuracy,
        forget_loss=forgotten.loss,
        retain_loss=retained.loss,
        validation_loss=validation.loss,
        test_loss=test.loss,
    )


def class_accuracies(scores: ClassScores) -> dict[int, float]:
    """Return the accuracy in [0, 1] on each class that occurs, by class; empty for a diverged model."""
    if scores.diverged:
        return {}
    by_class = {int(c): scores.of(scores.targets == c).accuracy for c in scores.targets.unique()}
    return {label: value for label, value in by_class.items() if value is not None}
