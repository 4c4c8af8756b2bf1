"""Forget against retain features: separated ones outside their nulls, others inside."""

from math import isnan

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.separation import Separation, probe_auc
from ungrok.analyze.similarity import principal_angles
from ungrok.core.objective import Classification


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def identity():
    """The features are the inputs."""
    model = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Linear(6, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(6))
    return model


def subject(forget, retain, references=()):
    def made(rows):
        return [(rows, torch.arange(len(rows)) % 2)]

    return Subject(identity(), Classification(), {"forget": made(forget), "retain": made(retain)}, dict(references))


def read(analysis, of, layer="penultimate"):
    return {r.measure: r for r in analysis.measure(of) if r.layer == layer}


def test_probe_of_identical_and_of_disjoint_sets():
    x = normal(60, 4, 0)
    assert probe_auc(x, x + torch.tensor([9.0, 0, 0, 0])) == 1
    assert probe_auc(x, normal(90, 4, 1)) == pytest.approx(0.5, abs=0.12)
    assert probe_auc(x, x[:1]) != probe_auc(x, x[:1])


def test_probe_predictions_are_held_out():
    """In 80 dimensions any 60 + 60 points can be separated; held out, nothing is learned."""
    assert probe_auc(normal(60, 80, 0), normal(60, 80, 1)) < 0.65


def test_one_distribution_lies_inside_the_nulls_another_outside():
    settings = Separation(components=2, layers=False)
    retain = normal(200, 6, 0) * torch.tensor([3.0, 3, 1, 1, 1, 1])
    same, other = (
        normal(60, 6, 1) * torch.tensor([3.0, 3, 1, 1, 1, 1]),
        normal(60, 6, 1) * torch.tensor([1.0, 1, 1, 1, 3, 3]),
    )
    inside, outside = read(settings, subject(same, retain)), read(settings, subject(other + 2, retain))
    for name in ("covariance_overlap", "principal_angle", "probe_auc"):
        null = inside[f"{name}_split_half"].nulls["split_half"]
        slack = 0.5 * (null.high - null.low) + 0.02
        assert null.low - slack <= inside[f"{name}_split_half"].value <= null.high + slack
    assert outside["covariance_overlap_split_half"].value < 0.6
    assert outside["principal_angle_split_half"].value > 70
    assert outside["principal_angle_split_half"].unit == "degree"
    assert outside["probe_auc_split_half"].value > 0.95
    assert outside["probe_auc_split_half"].nulls["split_half"].high < 0.7


@pytest.mark.parametrize(("fewer", "told"), [(1, False), (2, True), (3, True)])
def test_two_rows_are_the_fewest_to_be_told_from_others(fewer, told):
    x = normal(20, 2, 0)
    for pair in ((x[:fewer], x[5:] + 20), (x[5:] + 20, x[:fewer])):
        value = probe_auc(*pair)
        assert (value == 1) if told else isnan(value)


def test_a_probe_has_five_folds_drawn_by_the_seed():
    x, y = normal(15, 4, 0), normal(17, 4, 1)
    assert probe_auc(x, y) == probe_auc(x, y, folds=5, seed=0)
    assert len({probe_auc(x, y, folds=folds) for folds in (4, 5, 6)}) == 3
    assert len({probe_auc(x, y, seed=seed) for seed in range(5)}) > 1
    assert 0 <= probe_auc(x, y, seed=2**62 + 5) <= 1


@pytest.mark.parametrize(
    ("few", "many", "width", "count"), [(3, 30, 6, 2), (30, 4, 6, 3), (30, 30, 2, 2), (30, 30, 6, 5)]
)
def test_angles_are_between_as_many_directions_as_both_sides_have(few, many, width, count):
    """Centered rows span one dimension fewer than they are."""
    x, y = normal(few, width, 0), normal(many, width, 1)
    assert Separation()._angle(x, y) == pytest.approx(principal_angles(x, y, count).mean().item())
