"""What schemes cost, from rows worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ungrok.study.results import Results
from ungrok.study.results_schemes import SCHEMES
from ungrok.study.scheme_costs import scheme_costs


def row(seed, scheme="sisa", forget="class", ra=0.8, **changes):
    numbers = {"training_passes": 100.0 + seed, "training_seconds": 9.0, "passes": 30.0, "seconds": 2.0 + seed}
    accuracies = {"RA": ra, "TA": 0.7, "oracle_RA": 0.9, "oracle_TA": 0.75, "validation_accuracy": 0.72}
    return {"seed": seed, "scheme": scheme, "forget": forget} | numbers | accuracies | changes


def costs(*rows, forget="class"):
    empty = [pd.DataFrame()] * 6
    return scheme_costs(Results(*empty, schemes=pd.DataFrame(rows, columns=SCHEMES)), forget)


def test_a_scheme_costs_its_training_and_its_requests():
    ((place, measured),) = costs(row(0), row(1, ra=0.6), row(0, forget="random-3", ra=0.1)).items()
    assert place == ("base", "final", "sisa")
    assert measured.seeds == (0, 1)
    np.testing.assert_array_equal(measured.training["passes"], [100, 101])
    np.testing.assert_array_equal(measured.requests["seconds"], [[2], [3]])
    assert measured.fulfilled.all()
    assert measured.damage == {"RA": pytest.approx(0.2), "TA": pytest.approx(0.05)}
    assert measured.accuracy == pytest.approx(0.72)
    assert not measured.sizeless


def test_bystanders_stand_for_the_test_data_where_all_seeds_have_some():
    some = {"bystander_accuracy": 0.5, "oracle_bystander_accuracy": 0.6}
    assert [*costs(row(0, **some), row(1, **some))["base", "final", "sisa"].damage] == ["RA", "bystander_accuracy"]
    assert [*costs(row(0, **some), row(1))["base", "final", "sisa"].damage] == ["RA", "TA"]


def test_models_that_diverged_are_left_out():
    assert costs(row(0, TA=None), row(1))["base", "final", "sisa"].seeds == (1,)
    assert costs(row(0, TA=None)) == {}
    assert costs() == {}
