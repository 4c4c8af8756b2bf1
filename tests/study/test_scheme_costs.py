"""What schemes cost, in a small study and from rows worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.study.conftest import TINY

from ungrok.methods.output_perturbation import OutputPerturbation
from ungrok.report.tables.schemes import schemes
from ungrok.report.view import View
from ungrok.study.deletion_costs import settings_of
from ungrok.study.loading import load
from ungrok.study.results import Results
from ungrok.study.results_schemes import SCHEMES
from ungrok.study.run import run_study
from ungrok.study.scheme_costs import scheme_costs

EXAMPLES = 120
SETTINGS = (
    "seeds=[0]", "noise_seeds=0", "trajectory.steps=100", "stages=[grokked]", "claims.compare=[]", "requests=2",
    "forget=[{kind: class}, {kind: random, size: 3}]",
    "unlearn=[{kind: gradient_ascent, lr: 0.05, updates: 4}, {kind: output_perturbation, clip: 0.05, sigma: 0.05, lr: 0.1, updates: 12}]",
    "schemes=[{kind: sisa, shards: 3, slices: 2, combine: vote}]",
)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return the folder of a study with a method that certifies and a scheme that prepares."""
    root = tmp_path_factory.mktemp("schemes")
    return run_study(load(str(TINY), SETTINGS), root / "run", root / "store", workers=0)


def test_a_scheme_is_a_policy_whose_training_and_request_cost_what_they_read(study):
    every = {setting.forget: setting for setting in settings_of(study, None, 0.05)}
    rows = study.results.schemes.set_index("forget")
    assert every.keys() == {"class", "random-3"}
    for forget, setting in every.items():
        (sisa,) = (measured for policy, measured in setting.policies.items() if policy.method == "sisa")
        row = rows.loc[forget]
        assert sisa.training["passes"].tolist() == [row["training_passes"]]
        assert sisa.requests["passes"].tolist() == [[row["passes"]]]
        assert (sisa.seeds, sisa.fulfilled.tolist(), sisa.accuracy) == ((0,), [[True]], row["validation_accuracy"])
        other = "TA" if math.isnan(row["oracle_bystander_accuracy"]) else "bystander_accuracy"
        assert sisa.damage == {name: pytest.approx(row[f"oracle_{name}"] - row[name]) for name in ("RA", other)}
        assert 0 < row["passes"] < row["training_passes"]
    # Shards of 40 examples, batches of 60: each of the 33 updates of a shard reads a slice of 20 or both, 11 and 22 times.
    assert rows["training_passes"].tolist() == [pytest.approx(3 * (11 * 20 + 22 * 40) / EXAMPLES)] * 2
    assert rows.loc["class", "hit"] == 3


def test_a_study_says_what_its_methods_certify_and_its_schemes_cost(study):
    """Weights clipped around those before the first update of training: with little left of it, nothing is known but what retained data teach."""
    ends = study.results.audits.set_index(["method", "forget"])
    certified = ends.loc["output_perturbation"]
    assert certified["certified_distance"].tolist() == [2.0, 2.0]
    assert certified["certified_sigma"].tolist() == [0.05, 0.05]
    np.testing.assert_allclose(certified["certified_epsilon"], OutputPerturbation(sigma=1).promise(1).epsilon)
    assert ends.loc["gradient_ascent", "certified_epsilon"].isna().all()
    assert ends.loc[("output_perturbation", "class"), "UA"] == 0
    (path,) = [p for p in study.plan.paths if (p.method, p.forget) == ("output_perturbation", "class")]
    assert study.plan.jobs[path.path].inputs.keys() == {"stage", "trajectory"}
    certificates, costs = schemes(View.of(study))
    assert certificates.columns[4:8] == ["σ", "ε", "δ", "r"]
    assert [row[:5] for row in certificates.rows] == [
        ["output perturbation", "after grokking", "one class", "1", "0.05"],
        ["output perturbation", "after grokking", "3 random examples", "1", "0.05"],
    ]
    assert next(row[:4] for row in costs.rows) == ["SISA", "one class", "1", "3 of 3"]


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
