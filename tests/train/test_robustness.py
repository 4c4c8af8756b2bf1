"""Robust accuracy along a run."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from ungrok.core.attacks import PGDL2, PGDLinf
from ungrok.core.errors import RecipeError
from ungrok.data.base import Split
from ungrok.train.loop import Training
from ungrok.train.robustness import Robustness, column

ATTACKS = (PGDLinf(radius=0.3, step=0.1, box=None), PGDL2(radius=0.3, step=0.1, box=None))


def robust(**settings):
    return Training(steps=20, batch_size=8, robustness=Robustness(attacks=ATTACKS, **{"examples": 9, **settings}))


def test_measured_at_every_evaluated_step(simple, tmp_path):
    rows = simple(training=robust()).record(tmp_path)["rows"]
    for row in rows:
        assert all(0 <= row[column(attack.label)] <= row["validation_accuracy"] for attack in ATTACKS)
    assert list(rows[0])[-2:] == ["adversarial_pgd_linf_accuracy", "adversarial_pgd_l2_accuracy"]


def test_same_examples_and_starts_for_every_seed_and_step(simple):
    config = robust(examples=4).robustness
    one, other = (simple(training=robust(examples=4), seed=seed) for seed in (0, 1))
    assert torch.equal(one.attacked.inputs, other.attacked.inputs)
    assert one.measure() == one.measure()
    first = config.measure(one.model, one.attacked, one.objective)
    assert first == config.measure(other.model, other.attacked, other.objective)
    subsets = {
        tuple(map(tuple, robust(examples=4, seed=s).robustness.subset(simple.data.validation).inputs.tolist()))
        for s in range(5)
    }
    assert len(subsets) > 1


def test_training_does_not_depend_on_it(trains_alike):
    trains_alike(robust())


def test_too_few_examples(simple):
    with pytest.raises(RecipeError, match=r"trajectory\.robustness\.examples: 10 asked of 9 validation"):
        simple(training=robust(examples=10))


def test_inputs_outside_the_box(simple):
    attacks = (PGDLinf(),)
    training = Training(robustness=Robustness(attacks=attacks, examples=9))
    with pytest.raises(RecipeError, match=r"the box \(0\.0, 1\.0\) of 'pgd_linf' does not hold inputs from -"):
        simple(training=training)
    inside = Split(simple.data.validation.inputs.sigmoid(), simple.data.validation.targets)
    simple(training=training, data=replace(simple.data, validation=inside))


def test_labels_are_distinct():
    with pytest.raises(ValidationError, match="same label"):
        Robustness(attacks=(PGDLinf(), PGDLinf(radius=0.1)))
    Robustness(attacks=(PGDLinf(), PGDLinf(name="wide", radius=0.1)))
