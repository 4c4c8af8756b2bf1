"""A classifier of one number, whose robust accuracy is the share of points far enough from zero."""

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.robustness import RobustAccuracy
from ungrok.core.objective import Classification


def sign_classifier():
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    return model


def points(*values):
    x = torch.tensor(values).view(-1, 1)
    return [(x, (x[:, 0] > 0).long())]


def read(sets, **attack):
    settings = {"kind": "pgd_linf", "radius": 0.5, "step": 0.2, "box": None} | attack
    analysis = RobustAccuracy(attack=settings, draws=20)
    found = analysis.measure(Subject(sign_classifier(), Classification(), sets, seed=0))
    return {(r.measure, r.on): r for r in found}


def test_a_point_is_robust_if_it_is_further_from_zero_than_the_radius():
    sets = {"retain": points(0.1, -0.4, 0.6, -2.0), "forget": points(0.4), "test": points(-0.6, 0.7)}
    for attack in ({}, {"kind": "pgd_l2"}, {"random_start": False}):
        found = read(sets, **attack)
        assert [found["robust_accuracy", on].value for on in ("retain", "forget", "test")] == [0.5, 0, 1]
        assert [found["clean_accuracy", on].value for on in ("retain", "forget", "test")] == [1, 1, 1]


def test_noise_in_the_same_ball_is_the_null():
    """Uniform in ±0.5 around 0.25: wrong with probability 1/4."""
    found = read({"retain": points(*[0.25] * 400)})["robust_accuracy", "retain"]
    null = found.nulls["noise"]
    assert found.value == 0
    assert null.median == pytest.approx(0.75, abs=0.02)
    assert null.low > 0.6
    assert null.draws == 20


def test_the_box_holds_attack_and_noise():
    """Inputs may not fall below 0.05, so neither attack nor noise can cross zero."""
    found = read({"retain": points(0.1, 0.2)}, box=(0.05, 1.0))["robust_accuracy", "retain"]
    assert found.value == 1
    assert found.nulls["noise"].low == 1
