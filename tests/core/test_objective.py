"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
TARGETS = torch.tensor([0, 2])
BATCH = (torch.zeros(2, 4), TARGETS)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("cross_entropy", [math.log(math.e**2 + 1 + math.e) - 2, math.log(3)]),
        # ((2 − 1)² + 0 + 1)/3 and (0 + 0 + 1)/3: the mean over classes, not the sum.
        ("mse", [2 / 3, 1 / 3]),
        # s = 3, 1, 2 for the logits 2, 0, 1.
        ("stablemax", [math.log(2), math.log(3)]),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_losses_by_hand(loss, expected, precision):
    losses = Classification(loss, precision).losses(LOGITS, BATCH)
    assert losses.dtype == getattr(torch, precision)
    assert losses.tolist() == pytest.approx(expected, rel=1e-6)


def test_mse_is_that_of_torch():
    one_hot = torch.nn.functional.one_hot(TARGETS, 3).float()
    mean = Classification("mse").losses(LOGITS, BATCH).mean()
    assert mean.item() == pytest.approx(torch.nn.MSELoss()(LOGITS, one_hot).item(), rel=1e-6)


def test_stablemax_by_its_formula():
    """s(x) = x + 1 where x ≥ 0 and 1/(1 − x) below; −log(s(z_y) / Σ s(z)), and its derivative, at 0 too."""

    def slow(row, target):
        s = [x + 1 if x >= 0 else 1 / (1 - x) for x in row]
        return -torch.log(s[target] / sum(s))

    logits = torch.tensor([[3.0, -2.0, 0.0], [-40.0, -0.5, 1e6]], dtype=torch.float64, requires_grad=True)
    found = Classification("stablemax").losses(logits, (None, torch.tensor([1, 0])))
    expected = torch.stack([slow(row, target) for row, target in zip(logits, (1, 0), strict=True)])
    assert torch.allclose(found, expected, rtol=1e-12)
    gradients = [torch.autograd.grad(x.sum(), logits)[0] for x in (found, expected)]
    assert torch.allclose(*gradients, rtol=1e-10)


def test_float64_loss_goes_on_falling_where_float32_stops():
    """The softmax saturates: below 1e-7 a float32 loss is 0 and its gradient with it."""
    logits = torch.tensor([[25.0, 0.0]], requires_grad=True)
    batch = (None, torch.tensor([0]))
    for precision, expected in (("float32", 0.0), ("float64", math.log1p(math.exp(-25)))):
        (loss,) = Classification(precision=precision).losses(logits, batch)
        assert loss.item() == pytest.approx(expected, rel=1e-4, abs=0)
    assert 0 < loss.item() < 1e-10
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, 0].item() == pytest.approx(-math.exp(-25), rel=1e-4)


def test_one_loss_size_prediction_and_target_per_example():
    objective = Classification()
    assert objective.size(BATCH) == 2
    assert objective.predictions(LOGITS).tolist() == [0, 0]
    assert objective.targets(BATCH) is TARGETS
    inputs, targets = objective.relabel(BATCH, torch.tensor([1, 1]))
    assert inputs is BATCH[0]
    assert targets.tolist() == [1, 1]
    assert objective.move(BATCH, torch.device("meta"))[1].device.type == "meta"


def test_logits_are_the_models_output():
    model = torch.nn.Linear(4, 3)
    assert torch.equal(Classification().logits(model, BATCH), model(BATCH[0]))


def test_unknown_loss():
    with pytest.raises(RecipeError, match=r"'hinge'.*cross_entropy, mse"):
        Classification("hinge")


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0, 2]), None),
        (torch.tensor([[0], [2]]), r"shape \(2, 1\); allowed: int64"),
        (torch.tensor([0.0, 2.0]), "targets are torch.float32"),
        (torch.tensor([-1, 2]), "targets hold -1; allowed: 0 to 2"),
        (torch.tensor([0, 3]), "targets hold 3; allowed: 0 to 2"),
    ],
)
def test_targets_are_one_class_for_each_input(targets, message):
    batch = (torch.zeros(2, 4), targets)
    if message is None:
        Classification().check(batch, LOGITS.shape)
    else:
        with pytest.raises(RecipeError, match=message):
            Classification().check(batch, LOGITS.shape)
