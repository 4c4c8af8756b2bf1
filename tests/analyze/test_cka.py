"""CKA of models whose features are known, and of unpaired sets."""

import copy

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.cka import CKA, UnpairedCKA
from ungrok.analyze.similarity import linear_cka, participation_ratio
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


def test_cka_with_a_rotated_copy_and_with_another_network():
    rotated, other = identity(), identity()
    with torch.no_grad():
        turn = torch.linalg.qr(normal(6, 6, 3)).Q
        rotated[0].weight.copy_(turn)
        rotated[1].weight.copy_(identity()[1].weight @ turn.T)
        other[0].weight.copy_(normal(6, 6, 4))
    of = subject(normal(40, 6, 0), normal(90, 6, 1), {"rotated": rotated, "other": other}.items())
    found = {(r.measure, r.on): r for r in CKA().measure(of) if r.layer == "penultimate"}
    assert found["cka", "retain|rotated"].value == pytest.approx(1, abs=1e-5)
    expected = linear_cka(normal(90, 6, 1), normal(90, 6, 1) @ other[0].weight.detach().T)
    assert found["cka", "retain|other"].value == pytest.approx(expected, rel=1e-4)
    assert found["cka", "retain|other"].nulls["unpaired"].high < 0.1
    assert found["cka_biased", "forget|other"].value > found["cka", "forget|other"].value
    assert {on for _, on in found} == {"forget|rotated", "forget|other", "retain|rotated", "retain|other"}


def test_a_reference_in_training_mode_is_compared_in_eval_mode():
    model = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.9), nn.Linear(6, 2))
    other = copy.deepcopy(model).train()
    of = Subject(model, Classification(), {"retain": [(normal(30, 6, 0), torch.arange(30) % 2)]}, {"copy": other})
    assert read(CKA(), of)["cka"].value == pytest.approx(1)
    assert other.training


def test_unpaired_cka_falls_with_rank_alone():
    """Forget and retain are of one distribution in both cases: the paper's drop, without anything having moved."""
    analysis = UnpairedCKA(layers=False)
    wide, narrow = torch.ones(6), torch.tensor([10.0, 1, 0.1, 0.1, 0.1, 0.1])
    values = {}
    for name, scale in (("wide", wide), ("narrow", narrow)):
        found = read(analysis, subject(normal(20, 6, 0) * scale, normal(200, 6, 1) * scale))
        one = found["cka_unpaired"]
        assert one.nulls["same_distribution"].low <= one.value <= one.nulls["same_distribution"].high
        assert found["cka_unpaired_expected"].value == pytest.approx(one.value, abs=0.06)
        assert abs(found["cka_unpaired_unbiased"].value) < 0.1
        values[name] = one.value
    assert values["narrow"] < values["wide"] / 2


def test_participation_ratios_stand_beside_it():
    found = UnpairedCKA(layers=False).measure(subject(normal(30, 6, 0), normal(90, 6, 1)))
    ratios = {r.on: r.value for r in found if r.measure == "participation_ratio_unbiased" and r.layer == "penultimate"}
    assert ratios["retain"] == pytest.approx(participation_ratio(normal(90, 6, 1), unbiased=True), rel=1e-4)
    assert set(ratios) == {"forget", "retain"}


@pytest.mark.parametrize(("count", "measured"), [(3, set()), (4, {"forget|other", "retain|other"})])
def test_four_examples_are_the_fewest(count, measured):
    other = identity()
    with torch.no_grad():
        other[0].weight.copy_(normal(6, 6, 4))
    readings = CKA(draws=0).measure(subject(normal(count, 6, 0), normal(count, 6, 1), {"other": other}.items()))
    assert {r.on for r in readings} == measured


def test_both_estimators_stand_under_their_names():
    other = identity()
    with torch.no_grad():
        other[0].weight.copy_(normal(6, 6, 4))
    rows = normal(12, 6, 0)
    found = {
        r.measure: r for r in CKA().measure(subject(rows, rows, {"other": other}.items())) if r.layer == "penultimate"
    }
    for name, unbiased in (("cka", True), ("cka_biased", False)):
        expected = linear_cka(rows, rows @ normal(6, 6, 4).T, unbiased=unbiased)
        assert found[name].value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("forget", "retain", "pairs"), [(4, 8, 4), (3, 40, 0), (40, 7, 0), (40, 9, 4), (5, 40, 5)])
def test_pairs_are_as_many_as_forget_and_half_of_retain_allow(forget, retain, pairs):
    readings = read(UnpairedCKA(draws=3), subject(normal(forget, 6, 0), normal(retain, 6, 1)))
    assert {r.examples for name, r in readings.items() if name.startswith("cka")} == ({2 * pairs} if pairs else set())


def test_the_unpaired_estimators_tell_rank_from_likeness():
    """The biased one of independent rows is far above 0, the unbiased one is not."""
    readings = read(UnpairedCKA(layers=False), subject(normal(12, 6, 0), normal(60, 6, 1)))
    assert readings["cka_unpaired"].value > 0.3
    assert abs(readings["cka_unpaired_unbiased"].value) < 0.2
