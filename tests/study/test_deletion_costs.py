"""What deletion cost in a study, against its tables read by hand, and where a path fulfills a request."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tests.study.conftest import TINY

from ungrok.core.errors import RecipeError
from ungrok.study.deletion_costs import SCHEMES, Policy, passes, policies, settings_of
from ungrok.study.folder import StudyFolder
from ungrok.study.loading import load
from ungrok.study.plan_sequences import RETRAINED
from ungrok.study.results_stress import LASTING
from ungrok.study.run import run_study

THREE = (
    "seeds=[0]", "noise_seeds=0", "trajectory.steps=100", "stages=[grokked]", "claims.compare=[]", "requests=3",
    "forget=[{kind: class}, {kind: random, size: 3}]",
    "unlearn=[{kind: gradient_ascent, lr: 0.05, updates: 40}, {kind: gradient_ascent, lr: 1.0e+30, updates: 3, name: wild}, "
    "{kind: fisher, alpha: [1.0e-6, 1.0e-3]}, {kind: rewind_to_delete, share: 1.0}]",
)  # fmt: skip
EXAMPLES, BATCH = 120, 60


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return the folder of a study with three requests of two sizes."""
    root = tmp_path_factory.mktemp("sequence")
    return run_study(load(str(TINY), THREE), root / "run", root / "store", workers=0)


@pytest.fixture(scope="module")
def measured(study):
    """Return what was measured of the policies of both forget splits, by label and method."""
    return {
        (setting.forget, policy.method): measured
        for setting in settings_of(study, None, 0.05)
        for policy, measured in setting.policies.items()
    }


def phases(study, forget, method, subject="unlearned"):
    every = study.results.sequences
    own = every[(every["forget"] == forget) & (every["method"] == method) & (every["subject"] == subject)]
    return own[own["of"] == own["phase"]].sort_values("phase")


def test_a_split_is_known_by_its_size(study):
    every = settings_of(study, None, 0.05)
    assert [setting.forget for setting in every] == ["class", "random-3"]
    assert every[1].share == 3 / EXAMPLES
    assert 0.05 < every[0].share < 0.2
    assert [setting.forget for size in (0.01, 0.03, 0.2) for setting in settings_of(study, size, 0.05)] == [
        *("random-3", "random-3", "class")
    ]
    assert len({setting.training for setting in every}) == 1


def test_requests_cost_what_each_phase_added(study, measured):
    # Three examples make one batch, so that an update of gradient ascent reads just these.
    updates = np.diff(phases(study, "random-3", "gradient_ascent")["updates"].to_numpy(dtype=float), prepend=0)
    assert len(updates) == 3
    read = measured["random-3", "gradient_ascent"].requests["passes"]
    np.testing.assert_allclose(read, [updates * 3 / EXAMPLES])
    per_update = study.results.timings
    keys = [p.path for p in study.plan.paths if (p.forget, p.method) == ("random-3", "gradient_ascent")]
    (job,) = per_update[per_update["key"].isin(keys)].to_dict("records")
    seconds = job["seconds_per_update"] * min(1, job["processor_seconds"] / job["seconds"])
    np.testing.assert_allclose(measured["random-3", "gradient_ascent"].requests["seconds"], [updates * seconds])


def test_each_phase_reads_as_many_examples_as_its_own_set_holds(study, measured):
    sizes = study.sizes["base"]["class"]["0"]
    assert len({forget for forget, _ in sizes}) > 1
    spent = phases(study, "class", "gradient_ascent")
    before, read = {"forget_passes": 0.0, "retain_passes": 0.0}, []
    for (forget, retain), (_, row) in zip(sizes, spent.iterrows(), strict=True):
        read.append(
            (row["forget_passes"] - before["forget_passes"]) * forget
            + (row["retain_passes"] - before["retain_passes"]) * retain
        )
        before = row
    np.testing.assert_allclose(measured["class", "gradient_ascent"].requests["passes"], [np.array(read) / EXAMPLES])
    assert study.sizes["base"]["random-3"]["0"] == [[3, 117], [3, 114], [3, 111]]


def test_retraining_costs_the_training_and_rewinding_its_updates(study, measured):
    step = float(study.results.oracles["step"].iloc[0])
    anew = measured["class", RETRAINED]
    assert anew.training["passes"].tolist() == [step * BATCH / EXAMPLES]
    assert anew.requests["passes"].tolist() == [[step * BATCH / EXAMPLES]]
    assert (anew.fulfilled.tolist(), anew.worst_damage, anew.sizeless) == ([[True]], 0, True)
    rewound = measured["random-3", "rewind_to_delete"]
    # Batches of 60 and what is left of 117, 114 and 111 examples: two a pass, so that all updates read step / 2 passes over what is retained.
    np.testing.assert_allclose(
        rewound.requests["passes"], [[step / 2 * retained / EXAMPLES for retained in (117, 114, 111)]], rtol=0.02
    )
    assert rewound.sizeless


def test_a_request_is_fulfilled_where_no_set_so_far_is_known_better_than_by_the_oracle(study, measured):
    every = study.results.sequences
    for (forget, method), own_costs in measured.items():
        if method == RETRAINED:
            continue
        own = every[(every["forget"] == forget) & (every["method"] == method)]
        oracle = every[(every["forget"] == forget) & (every["subject"] == "oracle")]
        for phase in (1, 2, 3):
            pairs = [
                (
                    own[(own["phase"] == phase) & (own["of"] == of)]["UA"],
                    oracle[(oracle["phase"] == phase) & (oracle["of"] == of)]["UA"],
                )
                for of in range(1, phase + 1)
            ]
            expected = all(len(mine) and mine.item() <= best.item() + 0.05 + 1e-9 for mine, best in pairs)
            assert own_costs.fulfilled[0, phase - 1] == expected
    assert {flag for one in measured.values() for flag in one.fulfilled.ravel().tolist()} == {True, False}


def test_damage_is_what_was_lost_beyond_the_oracle_after_the_last_request(study, measured):
    last, best = (
        phases(study, "class", "gradient_ascent").iloc[-1],
        phases(study, "class", RETRAINED, "oracle").iloc[-1],
    )
    damage = measured["class", "gradient_ascent"].damage
    assert damage == {name: best[name] - last[name] for name in ("RA", "bystander_accuracy")}
    random = phases(study, "random-3", "gradient_ascent").iloc[-1]
    assert "TA" in measured["random-3", "gradient_ascent"].damage or not math.isnan(random["bystander_accuracy"])


def test_a_sequence_that_breaks_off_fulfills_nothing_from_there_on(measured):
    wild = measured["class", "wild"]
    assert wild.fulfilled.tolist() == [[False] * 3]
    assert wild.requests["passes"].shape == (1, 3)
    assert np.isfinite(wild.requests["passes"]).all()


def test_where_sizes_were_not_recorded_the_store_must_hold_the_paths(study, tmp_path):
    elsewhere = StudyFolder.open(study.path, tmp_path / "none")
    assert [one.share for one in settings_of(elsewhere, None, 0.05)] == [
        one.share for one in settings_of(study, None, 0.05)
    ]
    del elsewhere.provenance["sizes"]
    with pytest.raises(RecipeError, match=r"--store: .* does not hold the paths of"):
        settings_of(elsewhere, None, 0.05)


@pytest.mark.parametrize(
    ("updates", "batch_size", "examples", "expected"),
    [(6, 60, 120, 3), (6, 50, 120, 2), (7, 50, 120, 2 + 50 / 120), (5, None, 120, 5), (5, 500, 120, 5)],
)
def test_the_last_batch_of_a_pass_holds_what_is_left(updates, batch_size, examples, expected):
    assert passes(np.array([float(updates)]), batch_size, examples) == pytest.approx([expected])


def test_where_examples_are_staggered_every_batch_is_full():
    assert passes(np.array([6.0]), 50, 120, staggered=True) == pytest.approx([2.5])


def test_every_method_and_every_scheme_is_a_policy_from_every_stage(study, monkeypatch):
    methods = ["gradient_ascent", "wild", "fisher", "rewind_to_delete"]
    assert policies(study.plan, "class") == [Policy("base", "grokked", label) for label in [*methods, RETRAINED]]
    assert policies(study.plan, "another") == []
    asked = []

    def shards(reading, policy):
        asked.append(policy)
        return replace(
            reading.retraining(policy), requests={unit: np.full((1, 1), 7.0) for unit in ("passes", "seconds")}
        )

    monkeypatch.setitem(SCHEMES, "shards", shards)
    sharded = Policy("base", "grokked", "shards")
    (setting,) = settings_of(study, 0.01, 0.05)
    assert setting.policies[sharded].requests["passes"].tolist() == [[7.0]]
    assert asked == [sharded, sharded]


def test_seconds_are_those_in_which_the_processor_worked_for_the_job(study):
    again = StudyFolder.open(study.path, study.store.root)
    timings = again.results.timings
    own = timings["kind"] == "train"
    timings.loc[own, ["seconds", "processor_seconds", "seconds_per_update"]] = [8.0, 2.0, 0.4]
    step = float(again.results.oracles["step"].iloc[0])
    anew = settings_of(again, 0.1, 0.05)[0].policies[Policy("base", "grokked", RETRAINED)]
    assert anew.training["seconds"] == pytest.approx([0.1 * step])
    timings.loc[own, "processor_seconds"] = float("nan")
    anew = settings_of(again, 0.1, 0.05)[0].policies[Policy("base", "grokked", RETRAINED)]
    assert anew.training["seconds"] == pytest.approx([0.4 * step])


def test_forgetting_must_last_where_that_was_tried(study, monkeypatch):
    (one,) = (p for p in study.plan.paths if (p.forget, p.method) == ("class", "gradient_ascent"))
    place = {"seed": 0, "arm": "base", "stage": "grokked", "forget": "class", "method": "gradient_ascent"}
    for lasts in (True, False):
        again = StudyFolder.open(study.path, study.store.root)
        again.plan.lasting.append(one)
        rows = pd.DataFrame([place | {"dose": 1.0, "lasts": lasts}]).reindex(columns=LASTING)
        monkeypatch.setitem(
            again.__dict__,
            "results",
            SimpleNamespace(**vars(again.results) | {"paths": again.results.paths, "lasting": rows}),
        )
        measured_again = settings_of(again, 0.1, 0.05)[0].policies[Policy("base", "grokked", "gradient_ascent")]
        assert measured_again.lasts == float(lasts)
        assert measured_again.fulfilled.any() == lasts
