"""What deletion cost in a study, against its tables read by hand, and where a path fulfills a request."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tests.study.conftest import TINY

from ungrok.core.errors import RecipeError
from ungrok.methods import UNLEARNERS
from ungrok.study.deletion_costs import Policy, fulfilled_at, settings_of
from ungrok.study.folder import StudyFolder
from ungrok.study.loading import load
from ungrok.study.plan_sequences import RETRAINED
from ungrok.study.results_stress import LASTING
from ungrok.study.run import run_study
from ungrok.study.track import Track

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
def policies(study):
    """Return the policies of both forget splits, by label and method."""
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


def test_requests_cost_what_each_phase_added(study, policies):
    # Three examples make one batch, so that an update of gradient ascent reads just these.
    updates = np.diff(phases(study, "random-3", "gradient_ascent")["updates"].to_numpy(dtype=float), prepend=0)
    assert len(updates) == 3
    read = policies["random-3", "gradient_ascent"].requests["passes"]
    np.testing.assert_allclose(read, [updates * 3 / EXAMPLES])
    per_update = study.results.timings
    keys = [p.path for p in study.plan.paths if (p.forget, p.method) == ("random-3", "gradient_ascent")]
    (seconds,) = per_update[per_update["key"].isin(keys)]["seconds_per_update"]
    np.testing.assert_allclose(policies["random-3", "gradient_ascent"].requests["seconds"], [updates * seconds])


def test_retraining_costs_the_training_and_rewinding_its_updates(study, policies):
    step = float(study.results.oracles["step"].iloc[0])
    anew = policies["class", RETRAINED]
    assert anew.training["passes"].tolist() == [step * BATCH / EXAMPLES]
    assert anew.requests["passes"].tolist() == [[step * BATCH / EXAMPLES]]
    assert (anew.fulfilled.tolist(), anew.worst_damage, anew.sizeless) == ([[True]], 0, True)
    rewound = policies["random-3", "rewind_to_delete"]
    # Batches of 60 and what is left of 117, 114 and 111 examples: two a pass, so that all updates read step / 2 passes over what is retained.
    np.testing.assert_allclose(
        rewound.requests["passes"], [[step / 2 * retained / EXAMPLES for retained in (117, 114, 111)]], rtol=0.02
    )
    assert rewound.sizeless


def test_a_request_is_fulfilled_where_no_set_so_far_is_known_better_than_by_the_oracle(study, policies):
    every = study.results.sequences
    for (forget, method), measured in policies.items():
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
            assert measured.fulfilled[0, phase - 1] == expected
    assert {flag for measured in policies.values() for flag in measured.fulfilled.ravel().tolist()} == {True, False}


def test_damage_is_what_was_lost_beyond_the_oracle_after_the_last_request(study, policies):
    last, best = (
        phases(study, "class", "gradient_ascent").iloc[-1],
        phases(study, "class", RETRAINED, "oracle").iloc[-1],
    )
    damage = policies["class", "gradient_ascent"].damage
    assert damage == {name: best[name] - last[name] for name in ("RA", "bystander_accuracy")}
    random = phases(study, "random-3", "gradient_ascent").iloc[-1]
    assert "TA" in policies["random-3", "gradient_ascent"].damage or not math.isnan(random["bystander_accuracy"])


def test_a_sequence_that_breaks_off_fulfills_nothing_from_there_on(policies):
    wild = policies["class", "wild"]
    assert wild.fulfilled.tolist() == [[False] * 3]
    assert wild.requests["passes"].shape == (1, 3)
    assert np.isfinite(wild.requests["passes"]).all()


def test_the_store_must_hold_the_paths(study, tmp_path):
    with pytest.raises(RecipeError, match=r"--store: .* does not hold the paths of"):
        settings_of(StudyFolder.open(study.path, tmp_path / "none"), None, 0.05)


def path(*levels):
    """Return a path with these UA; the oracle's is 0.15."""
    rows = [{"dose": float(dose), "UA": ua, "oracle_UA": 0.15} for dose, ua in enumerate(levels)]
    return Track(pd.DataFrame(rows))


ASCENT, REWIND = (UNLEARNERS.get(kind)() for kind in ("gradient_ascent", "rewind_to_delete"))


@pytest.mark.parametrize(
    ("method", "levels", "lasts", "expected"),
    [
        (ASCENT, (1, 0.5, 0.2, 0.1, 0), None, (2, True)),
        (ASCENT, (1, 0.5, 0.21), None, (2, False)),
        (ASCENT, (1, float("nan"), 0.3), None, (2, False)),
        (ASCENT, (1, 0.5, 0.2, 0.1, 0), {2: False, 3: True, 4: True}, (3, True)),
        (ASCENT, (1, 0.5, 0.2, 0.1, 0), {2: False, 4: False}, (4, False)),
        (ASCENT, (1, 0.5, 0.2, 0.1, 0), {}, (4, False)),
        (REWIND, (1, 0.1, 0.3), None, (2, False)),
        (REWIND, (1, 0.3, 0.1), None, (2, True)),
        (REWIND, (1, 0.3, 0.1), {1: True, 2: False}, (2, False)),
        (REWIND, (1, 0.3, 0.1), {2: True}, (2, True)),
    ],
)
def test_where_a_path_fulfills_a_request(method, levels, lasts, expected):
    tried = None if lasts is None else [{"dose": float(dose), "lasts": stays} for dose, stays in lasts.items()]
    row, fulfilled = fulfilled_at(path(*levels), method, 0.05, tried)
    assert (row["dose"], fulfilled) == expected


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
        measured = settings_of(again, 0.1, 0.05)[0].policies[Policy("base", "grokked", "gradient_ascent")]
        assert measured.lasts == float(lasts)
        assert measured.fulfilled.any() == lasts
