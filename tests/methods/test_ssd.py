"""Dampening by hand."""

import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.methods.ssd import SSD, dampen


@pytest.mark.parametrize(
    ("theta", "forget", "data", "expected"),
    [(2.0, 10.0, 0.9, 2 * 0.9 * 0.5 / 10), (2.0, 8.0, 0.9, 2.0), (2.0, 0.0, 0.0, 2.0), (-1.0, 10.0, 0.0, 0.0)],
)
def test_dampening_by_hand(theta, forget, data, expected):
    """Selected where F_f > 9·F_D, then multiplied by λ·F_D/F_f with λ = 0.5."""
    weight = dampen(*(torch.tensor([v], dtype=torch.float64) for v in (theta, forget, data)), alpha=9.0, lam=0.5)
    assert weight.item() == pytest.approx(expected)


def test_dampening_never_grows_a_weight():
    assert dampen(torch.tensor([2.0]), torch.tensor([1.0]), torch.tensor([0.9]), alpha=1.0, lam=5.0).item() == 2.0


def test_a_lower_threshold_dampens_more():
    assert SSD(alpha=(10.0, 1.0, 5.0)).doses() == (0.1, 0.2, 1.0)


def test_thresholds_must_differ():
    with pytest.raises(RecipeError):
        SSD(alpha=(1.0, 1.0))


def test_a_weight_on_the_threshold_stays():
    """F_f = 4·F_D exactly."""
    weight = dampen(torch.tensor([2.0]), torch.tensor([4.0]), torch.tensor([1.0]), alpha=4.0, lam=0.5)
    assert weight.item() == 2.0


def test_importances_are_means_of_squares_over_examples(linear, close):
    """Of 4 forget examples, and of all 12 examples."""
    w = linear.weight

    def squares(*batches):
        return torch.stack(
            [linear.gradient(w, (x[i : i + 1], y[i : i + 1])) ** 2 for x, y in batches for i in range(len(y))]
        )

    forget, data = squares(*linear.forget).mean(0), squares(*linear.forget, *linear.retain).mean(0)
    ratios = (forget / data).flatten().sort().values
    thresholds = ((ratios[1] + ratios[2]).item() / 2, (ratios[4] + ratios[5]).item() / 2)
    path = SSD(alpha=thresholds, lam=0.01).path(linear.model(), linear.forget, linear.retain, linear.objective)
    places = [(step.dose, step.model.weight.detach().clone()) for step in path]
    assert [dose for dose, _ in places] == [1 / thresholds[1], 1 / thresholds[0]]
    for chosen, (_, weight) in zip((1, 4), places, strict=True):
        selected = forget / data > ratios[-chosen - 1]
        close(weight, torch.where(selected, w * 0.01 * data / forget, w))
        assert int((weight != w).sum()) == chosen
