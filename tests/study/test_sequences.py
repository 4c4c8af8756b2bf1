"""Reversal and erosion of hand-made sequences, beside the oracle and the floor between two oracles."""

import pandas as pd
import pytest

from ungrok.study.sequences import EFFECTS, effects, floors

PLACE = {"seed": 0, "arm": "base", "stage": "grokked", "forget": "class"}


def sequence(method, subject, retained, left, seed=0):
    """Rows of a sequence from RA by phase and UA by phase and set; TA is RA − 0.1, bystander accuracy RA + 0.01."""
    return [
        PLACE | {"seed": seed, "method": method, "subject": subject, "phase": phase, "of": of, "UA": ua}
        | {"RA": retained[phase - 1], "TA": retained[phase - 1] - 0.1, "bystander_accuracy": retained[phase - 1] + 0.01}
        for phase, row in enumerate(left, start=1)
        for of, ua in enumerate(row, start=1)
    ]  # fmt: skip


ROWS = [
    *sequence("scrub", "unlearned", [0.9, 0.8, 0.5], [[0.1], [0.4, 0.0], [0.7, 0.2, 0.1]]),
    *sequence("retrain from scratch", "oracle", [0.95, 0.96, 0.93], [[0.0], [0.1, 0.0], [0.0, 0.2, 0.3]]),
    *sequence("retrain from scratch", "oracle_2", [0.94, 0.98, 0.90], [[0.1], [0.1, 0.1], [0.1, 0.0, 0.2]]),
]


@pytest.fixture(scope="module")
def by_phase():
    table = effects(pd.DataFrame(ROWS))
    return table.set_index(["subject", "phase"])


def test_reversal_is_the_mean_rise_since_each_sets_own_phase(by_phase):
    assert by_phase["reversal"].loc["unlearned"].to_dict() == pytest.approx({2: 0.3, 3: (0.6 + 0.2) / 2})
    assert by_phase["reversal"].loc["oracle"].to_dict() == pytest.approx({2: 0.1, 3: (0.0 + 0.2) / 2})


def test_erosion_is_the_fall_since_the_first_phase(by_phase):
    for name in ("RA", "TA", "bystander_accuracy"):
        assert by_phase[f"erosion_{name}"].loc["unlearned"].to_dict() == pytest.approx({2: 0.1, 3: 0.4})


def test_what_lies_beyond_the_oracle_is_compared_in_the_same_phase(by_phase):
    assert by_phase["reversal_beyond"].loc["unlearned"].to_dict() == pytest.approx({2: 0.2, 3: 0.3})
    assert by_phase["erosion_RA_beyond"].loc["unlearned"].to_dict() == pytest.approx({2: 0.1 + 0.01, 3: 0.4 - 0.02})
    assert (by_phase.loc["oracle"][[f"{name}_beyond" for name in EFFECTS]] == 0).all(axis=None)


def test_floor_is_the_largest_distance_between_two_oracles_over_seeds():
    closer = [
        *sequence("retrain from scratch", "oracle", [0.95, 0.96], [[0.0], [0.0, 0.0]], seed=1),
        *sequence("retrain from scratch", "oracle_2", [0.95, 0.95], [[0.0], [0.5, 0.0]], seed=1),
    ]
    floor = floors(pd.DataFrame([*ROWS, *closer])).set_index("phase")
    assert floor["erosion_RA"].to_dict() == pytest.approx({2: 0.03, 3: 0.02})
    assert floor["reversal"].to_dict() == pytest.approx({2: 0.5, 3: 0.15})


def test_a_sequence_that_broke_has_no_effect_where_it_has_no_model():
    rows = sequence("scrub", "unlearned", [0.9, float("nan")], [[0.1], [float("nan"), float("nan")]])
    (row,) = effects(pd.DataFrame(rows)).to_dict("records")
    assert row["phase"] == 2
    assert all(pd.isna(row[name]) for name in EFFECTS)


def test_one_phase_has_no_effects():
    assert effects(pd.DataFrame(sequence("scrub", "unlearned", [0.9], [[0.1]]))).empty
