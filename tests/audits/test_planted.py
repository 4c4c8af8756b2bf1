"""Planted truths: measures with enough models may speak, and those with too few or that see nothing may not."""

from functools import partial

import numpy as np
import pytest

from ungrok.audits.klom import klom
from ungrok.audits.neurips import neurips_score
from ungrok.audits.planted import planted
from ungrok.audits.rmia import rmia
from ungrok.audits.ulira import ulira

POPULATION = 60


def world(models, seed=0, shift=3.0, examples=40):
    """Return margins of oracles, and of models retrained, half unlearned and not unlearned at all."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=examples + POPULATION)
    oracle, retrain, identity = hard + rng.normal(size=(3, models, examples + POPULATION))
    identity[:, :examples] += shift
    half = np.where(np.arange(examples + POPULATION) < examples // 2, retrain, identity)
    return oracle, {"retrain": retrain, "identity": identity, "half": half}


def told(measure, models, **changes):
    oracle, truths = world(models, **changes)
    return planted(
        measure, oracle[:, :-POPULATION], **{name: margins[:, :-POPULATION] for name, margins in truths.items()}
    )


MEASURES = {
    "ulira": partial(ulira, draws=20),
    "ulira kernel": partial(ulira, density="kernel", draws=4),
    "klom": partial(klom, draws=20),
    "neurips": partial(neurips_score, draws=20),
}


@pytest.mark.parametrize("name", MEASURES)
def test_with_enough_models_a_measure_may_speak(name):
    outcome = told(MEASURES[name], 24)
    assert [(truth.name, truth.holds) for truth in outcome.truths] == [
        ("retrain", True),
        ("half", True),
        ("identity", True),
    ]
    assert outcome.speaks
    assert outcome.words == "may speak"
    excess = {truth.name: truth.excess for truth in outcome.truths}
    assert excess["retrain"] < excess["half"] < excess["identity"]


def test_rmia_may_speak():
    oracle, truths = world(24)
    probability = lambda margins: 1 / (1 + np.exp(-margins))  # noqa: E731

    def measure(target, out):
        cut = target.shape[1] - POPULATION
        return rmia(target[:, :cut], out[:, :cut], population=(target[:, cut:], out[:, cut:]), draws=20)

    outcome = planted(measure, probability(oracle), **{name: probability(margins) for name, margins in truths.items()})
    assert outcome.speaks


def test_too_few_models_cannot_tell():
    outcome = told(MEASURES["ulira"], 4, shift=0.5)
    assert not outcome.speaks
    assert outcome.words == "cannot tell at this N"


def test_what_nothing_changes_cannot_be_told():
    outcome = told(MEASURES["klom"], 24, shift=0.0)
    holds = {truth.name: truth.holds for truth in outcome.truths}
    assert not holds["identity"]
    assert not outcome.speaks


def test_a_measure_that_condemns_retraining_may_not_speak():
    oracle, truths = world(24)
    outcome = planted(MEASURES["klom"], oracle, **(truths | {"retrain": truths["identity"] + 1}))
    assert [truth.holds for truth in outcome.truths] == [False, False, True]
