"""DELETE by hand."""

import math

import pytest
import torch

from ungrok.methods.delete import DELETE, struck_out


def test_the_true_class_is_struck_out():
    """Odds 1 : 2 : 3 without the third are 1/3 and 2/3."""
    teacher = torch.tensor([[math.log(1), math.log(2), math.log(3)]])
    assert struck_out(teacher, torch.tensor([2])).softmax(1)[0].tolist() == pytest.approx([1 / 3, 2 / 3, 0])


def test_one_update_by_hand(linear, close):
    """By logit q − p, p the original's opinion without the true class."""
    walk = linear.walk(DELETE(lr=0.3, momentum=0, updates=1))
    x, y = linear.forget[0]
    odds = (x @ linear.weight.T).exp()
    q, p = odds / odds.sum(1, keepdim=True), odds.scatter(1, y[:, None], 0.0)
    p = p / p.sum(1, keepdim=True)
    close(walk.weights[0], linear.weight - 0.3 * (q - p).T @ x / len(y))
