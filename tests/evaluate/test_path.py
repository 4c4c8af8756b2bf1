"""The rows of a path made by hand: four places, the last of which has diverged."""

import pytest
import torch

from ungrok.core.scores import ClassScores
from ungrok.evaluate.distances import distances
from ungrok.evaluate.membership import ATTACKS, membership
from ungrok.evaluate.path import BESIDE, path_audits, path_rows, place_accuracies

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
RECORD = {
    "scores": "class",
    "doses": [0.0, 1.0, 5.0, 9.0],
    "updates": [0, 1, 5, 9],
    "passes": {"forget": [0.0, 0.5, 2.5, 4.5], "retain": [0.0, 0.25, 1.25, 2.25]},
    "classes": [0],
    "one_shot": False,
}
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
    record = {**RECORD, "doses": [0.0], "updates": [0]}
    (row,) = path_rows(tensors([bad]), record, [0.5], None)
    assert row["diverged"]
    assert row["UA"] == 1.0


def test_where_on_the_path(rows):
    assert column(rows, "dose") == [0.0, 1.0, 5.0, 9.0]
    assert column(rows, "updates") == [0, 1, 5, 9]
    assert column(rows, "forget_passes") == [0.0, 0.5, 2.5, 4.5]
    assert column(rows, "retain_passes") == [0.0, 0.25, 1.25, 2.25]
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


def test_the_oracle_on_bystanders_and_on_validation_data():
    """Of the test examples of classes that forget nothing it has two of three right, of the validation examples three of four."""
    oracle = tensors([place([1, 1, 0, 1, 1, 1, 2, 2], validation=(0, 1, 1, 2), test=(0, 1, 0, 2))])
    rows = path_rows(PATH, RECORD, [0.75], oracle)
    assert column(rows, "oracle_bystander_accuracy") == [pytest.approx(2 / 3)] * 4
    assert column(rows, "oracle_validation_accuracy") == [0.75] * 4


def test_without_an_oracle_nothing_is_claimed_about_it():
    rows = path_rows(PATH, RECORD, [0.75, "oracle"], None)
    beside = [f"oracle_{name}" for name in BESIDE]
    for name in ("reached_oracle", *beside, "oracle_gap"):
        assert column(rows, name) == [None] * 4
    assert column(rows, "reached_0.75") == [False, True, True, True]


def test_a_diverged_oracle_is_no_target():
    spoiled = {**ORACLE, "train.predictions": torch.full((1, 8), -1, dtype=torch.int16)}
    rows = path_rows(PATH, RECORD, ["oracle"], spoiled)
    assert column(rows, "reached_oracle") == [None] * 4
    assert column(rows, "oracle_gap") == [None] * 4


def test_place_accuracies():
    found = place_accuracies(ORACLE, torch.tensor(FORGET), torch.tensor(RETAIN), [0], "class")
    assert (found.UA, found.RA, found.TA) == (0.25, 1.0, 0.75)


LABELS = {
    "train": torch.tensor([0] * 9 + [1] * 6),
    "validation": torch.tensor([0, 1]),
    "test": torch.tensor([0, 1] * 10),
}
SPLIT = {"forget": torch.arange(8), "retain": torch.arange(8, 15)}


def drawn(places, seed):
    """Return a path through random logits, as the store keeps it: all losses, and the last place's logits."""
    draw, out = torch.Generator().manual_seed(seed), dict(SPLIT)
    for name, targets in LABELS.items():
        logits = torch.randn(places, len(targets), 2, generator=draw)
        losses = [torch.nn.functional.cross_entropy(place, targets, reduction="none") for place in logits]
        out |= {f"{name}.losses": torch.stack(losses), f"{name}.targets": targets, f"{name}.logits": logits[-1]}
        out[f"{name}.predictions"] = logits.argmax(2).to(torch.int16)
    return out


THREE = {
    "scores": "class",
    "doses": [0.0, 1.0, 4.0],
    "updates": [0, 1, 4],
    "passes": {"forget": [0.0, 1.0, 4.0], "retain": [0.0, 0.0, 0.5]},
    "classes": [0],
    "one_shot": False,
}


def ending(tensors, name):
    return ClassScores(
        *(tensors[f"{name}.{part}"][-1] for part in ("losses", "predictions")), LABELS[name], tensors[f"{name}.logits"]
    )


def sets(tensors):
    return {"forget": ending(tensors, "train").of(SPLIT["forget"]), "test": ending(tensors, "test")}


def test_the_end_of_a_path_is_audited_against_the_oracle():
    path, oracle = drawn(3, 0), drawn(1, 1)
    (found,) = path_audits(path, THREE, oracle, seed=5)
    last = path_rows(path, THREE, [], oracle)[-1]
    for name in ("dose", "updates", "forget_passes", "retain_passes", "diverged", "UA", "RA", "TA", "oracle_gap"):
        assert found[name] == last[name], name
    assert found["forget_passes"] == 4.0
    start = path_rows(path, THREE, [], oracle)[0]
    assert found["relative_forgetting"] == pytest.approx((start["UA"] - last["UA"]) / start["UA"])
    product = 1.0
    for name in ("UA", "RA", "TA"):
        product *= 1 - abs(last[name] - last[f"oracle_{name}"])
    assert found["tug_of_war"] == pytest.approx(product)
    assert distances(sets(path), sets(oracle)).items() <= found.items()
    for tensors, prefix in ((path, ""), (oracle, "oracle_")):
        attacks = membership(**sets(tensors), seed=5)
        for name in ATTACKS:
            for figure in ("auc", "low", "high", "tpr_at_0_01", "tpr_at_0_001"):
                assert found[f"{prefix}{name}_{figure}"] == getattr(attacks[name], figure)
    assert [found[name] for name in ("members", "non_members", "pairs")] == [8, 10, 8]
    assert found["tug_of_war_membership"] == pytest.approx(
        product / (1 - abs(last["UA"] - last["oracle_UA"])) * (1 - abs(found["loss_auc"] - found["oracle_loss_auc"]))
    )


def test_membership_along_the_path_ends_where_the_audit_does():
    path, oracle = drawn(3, 0), drawn(1, 1)
    rows, (found,) = path_rows(path, THREE, [], oracle), path_audits(path, THREE, oracle)
    assert rows[-1]["membership_auc"] == found["loss_auc"]
    assert column(rows, "oracle_membership_auc") == [found["oracle_loss_auc"]] * 3
    inside, outside = path["train.losses"][0][:8], path["test.losses"][0][LABELS["test"] == 0]
    assert rows[0]["membership_auc"] == pytest.approx((inside[:, None] < outside).double().mean().item())


def test_no_oracle_no_distance():
    (found,) = path_audits(drawn(3, 0), THREE, None)
    with_one = path_audits(drawn(3, 0), THREE, drawn(1, 1))[0]
    assert list(found) == list(with_one)
    missing = {name for name, value in found.items() if value is None}
    assert missing >= {name for name in found if name.startswith("oracle_")}
    assert missing >= {"oracle_gap", "tug_of_war", "tug_of_war_membership", "js_divergence_forget", "disagreement_test"}
    assert found["loss_auc"] == with_one["loss_auc"]


def test_a_path_that_diverged_has_no_attack_but_its_oracle_has():
    path = drawn(3, 0)
    path["train.predictions"][-1, 0] = -1
    (found,) = path_audits(path, THREE, drawn(1, 1))
    assert found["diverged"]
    for name in ("UA", "loss_auc", "svc_auc", "members", "js_divergence_forget", "tug_of_war", "relative_forgetting"):
        assert found[name] is None
    assert found["oracle_svc_auc"] is not None
    assert path_rows(path, THREE, [], None)[-1]["membership_auc"] is None


def test_the_end_of_a_one_shot_path_has_no_updates():
    assert path_audits(drawn(3, 0), {**THREE, "one_shot": True}, None)[0]["updates"] is None
