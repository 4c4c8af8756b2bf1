"""The rows of a path made by hand: four places, the last of which has diverged."""

import pytest
import torch

from ungrok.evaluate.path import oracle_accuracies, path_rows

TARGETS = {"train": [0, 0, 0, 0, 1, 1, 2, 2], "validation": [0, 0, 1, 2], "test": [0, 1, 1, 2]}
FORGET, RETAIN = [0, 1, 2, 3], [4, 5, 6, 7]


def tensors(predictions):
    """Stack places as the store does: int16 predictions, float32 losses."""
    out = {"forget": torch.tensor(FORGET), "retain": torch.tensor(RETAIN)}
    for split, targets in TARGETS.items():
        out[f"{split}.predictions"] = torch.tensor([place[split] for place in predictions], dtype=torch.int16)
        out[f"{split}.losses"] = torch.full((len(predictions), len(targets)), 0.25)
        out[f"{split}.targets"] = torch.tensor(targets)
    return out


def place(train, validation=(0, 0, 1, 2), test=(0, 1, 1, 2)):
    return {"train": train, "validation": list(validation), "test": list(test)}


PATH = tensors(
    [
        place([0, 0, 0, 0, 1, 1, 2, 2]),
        place([0, 0, 0, 1, 1, 1, 2, 2], test=(1, 1, 1, 2)),
        place([0, 1, 1, 1, 1, 1, 2, 0], validation=(0, 1, 1, 0), test=(1, 1, 1, 0)),
        place([-1, 1, 1, 1, 1, 1, 2, 0], validation=(-1, 1, 1, 0), test=(-1, 1, 1, 0)),
    ]
)
RECORD = {"doses": [0.0, 1.0, 5.0, 9.0], "updates": [0, 1, 5, 9], "classes": [0], "one_shot": False}
ORACLE = tensors([place([1, 1, 0, 1, 1, 1, 2, 2], test=(1, 1, 1, 2))])


@pytest.fixture
def rows():
    return path_rows(PATH, RECORD, [0.75, 0.1, "oracle"], ORACLE)


def column(rows, name):
    return [row[name] for row in rows]


def test_accuracies_at_each_place(rows):
    assert column(rows, "UA") == [1.0, 0.75, 0.25, None]
    assert column(rows, "RA") == [1.0, 1.0, 0.75, 0.75]
    assert column(rows, "TA") == [1.0, 0.75, 0.5, None]
    # Classes 1 and 2 of the test data, to which the diverged example does not belong.
    assert column(rows, "bystander_accuracy") == pytest.approx([1.0, 1.0, 2 / 3, 2 / 3])
    assert column(rows, "forget_loss") == [0.25, 0.25, 0.25, None]
    assert column(rows, "diverged") == [False, False, False, True]


@pytest.mark.parametrize("bad", [place([0, 0, 0, 0, -1, 1, 2, 2]), place([0] * 8, test=(0, -1, 1, 2))])
def test_divergence_on_any_of_the_sets_counts(bad):
    record = {"doses": [0.0], "updates": [0], "classes": [0], "one_shot": False}
    (row,) = path_rows(tensors([bad]), record, [0.5], None)
    assert row["diverged"]
    assert row["UA"] == 1.0


def test_where_on_the_path(rows):
    assert column(rows, "dose") == [0.0, 1.0, 5.0, 9.0]
    assert column(rows, "updates") == [0, 1, 5, 9]
    one_shot = path_rows(PATH, {**RECORD, "one_shot": True}, [], None)
    assert column(one_shot, "updates") == [None] * 4


def test_targets_stay_reached(rows):
    assert column(rows, "reached_0.75") == [False, True, True, True]
    assert column(rows, "reached_0.1") == [False] * 4
    assert column(rows, "reached_oracle") == [False, False, True, True]


def test_the_oracle_and_the_gap_to_it(rows):
    assert column(rows, "oracle_UA") == [0.25] * 4
    assert column(rows, "oracle_RA") == [1.0] * 4
    assert column(rows, "oracle_TA") == [0.75] * 4
    gaps = [(0.75 + 0 + 0.25) / 3, (0.5 + 0 + 0) / 3, (0 + 0.25 + 0.25) / 3]
    assert column(rows, "oracle_gap") == [*map(pytest.approx, gaps), None]


def test_rewinding_takes_the_reference_of_the_last_finite_place(rows):
    """Half of class 0 is recognized at place 2: UA 0.75 and 0.25 are as near, the earlier is taken."""
    assert column(rows, "reference_accuracy") == [1.0, 1.0, 0.5, None]
    assert column(rows, "rewound") == [False, True, False, False]


def test_without_an_oracle_nothing_is_claimed_about_it():
    rows = path_rows(PATH, RECORD, [0.75, "oracle"], None)
    for name in ("reached_oracle", "oracle_UA", "oracle_RA", "oracle_TA", "oracle_gap"):
        assert column(rows, name) == [None] * 4
    assert column(rows, "reached_0.75") == [False, True, True, True]


def test_a_diverged_oracle_is_no_target():
    spoiled = {**ORACLE, "train.predictions": torch.full((1, 8), -1, dtype=torch.int16)}
    rows = path_rows(PATH, RECORD, ["oracle"], spoiled)
    assert column(rows, "reached_oracle") == [None] * 4
    assert column(rows, "oracle_gap") == [None] * 4


def test_oracle_accuracies():
    found = oracle_accuracies(ORACLE, torch.tensor(FORGET), torch.tensor(RETAIN), [0])
    assert (found.UA, found.RA, found.TA) == (0.25, 1.0, 0.75)
