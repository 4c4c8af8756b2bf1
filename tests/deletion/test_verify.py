"""Running a recorded deletion again."""

import copy
import shutil

import pytest
import torch

import ungrok
from ungrok.core.errors import RecipeError
from ungrok.core.files import read_json, write_json
from ungrok.deletion.record import read_record


@pytest.fixture
def again(world, made, tmp_path):
    """Return a function that verifies the record with changes at places named with dots."""
    shutil.copytree(made.folder, tmp_path / "deletion")

    def verified(changes=None, **given):
        file = tmp_path / "deletion" / "record.json"
        content = read_json(file)
        content["models"]["unlearned"]["path"] = str(tmp_path / "deletion" / "new.safetensors")
        for place, value in (changes or {}).items():
            *parts, last = place.split(".")
            here = content
            for part in parts:
                here = here[int(part) if isinstance(here, list) else part]
            assert (here[int(last)] if isinstance(here, list) else here[last]) != value
            here[int(last) if isinstance(here, list) else last] = value
        write_json(file, content)
        return ungrok.verify(file, **({"model": world.original} | world.sets | given))

    return verified


def test_an_untouched_record_is_verified_by_its_bytes(again):
    outcome = again()
    assert (outcome.passed, outcome.checked, outcome.differences, outcome.notes) == (True, "bytes", [], [])
    assert str(outcome) == (
        "Verified: run again on the same kind of machine with the same versions; checked: the bytes of the new model, and every number."
    )


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("accuracies.unlearned.UA", 0.0),
        ("membership.unlearned.loss.auc", 0.5),
        ("distances.original.weight_distance", 0.0),
        ("stress.0.UA.unlearned", 0.0),
        ("models.unlearned.weights", "0" * 64),
        ("models.unlearned.files.new.safetensors", "0" * 64),
        ("remains.0.text", "All is well."),
    ],
)
def test_what_was_changed_in_the_record_is_named(again, made, place, value):
    keys = {place: value}
    if place.endswith("new.safetensors"):
        keys = {"models.unlearned.files": {"new.safetensors": value}}
    outcome = again(keys)
    assert not outcome.passed
    assert place in [difference.what for difference in outcome.differences]
    assert f"{place}: recorded {value}, now " in str(outcome)


def test_another_method_gives_other_numbers(again):
    outcome = again({"method.settings.updates": 9})
    assert "models.unlearned.weights" in [difference.what for difference in outcome.differences]


def test_another_forget_set_is_named_and_nothing_is_run(again, world, monkeypatch):
    monkeypatch.setattr("ungrok.deletion.verify.deleted", None)
    outcome = again(forget=world.batches(1, 6) + world.batches(50, 51))
    assert (outcome.passed, outcome.checked) == (False, "inputs")
    (difference,) = outcome.differences
    assert str(difference) == "asked.forget: recorded 6 examples, now 6 examples, 1 of which were not among them"
    assert [d.what for d in again(test=world.batches(41, 60)).differences] == ["asked.test"]


def test_another_model_is_named_and_nothing_else(again, world, monkeypatch):
    monkeypatch.setattr("ungrok.deletion.verify.deleted", None)
    other = copy.deepcopy(world.original)
    with torch.no_grad():
        other[0].bias[0] += 1
    outcome = again(model=other)
    assert [difference.what for difference in outcome.differences] == ["models.original.weights"]
    assert [d.what for d in again(objective=ungrok.Classification("mse")).differences] == ["objective.settings.loss"]


def test_a_changed_file_of_the_new_model_is_named(again, tmp_path):
    file = tmp_path / "deletion" / "new.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    outcome = again()
    assert [difference.what for difference in outcome.differences] == ["models.unlearned.files.new.safetensors"]
    file.unlink()
    assert again().notes == [f"{file}: not there, so the checksums of its files were not compared."]


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({}, []),
        ({"models.unlearned.weights": "0" * 64, "distances.original.weight_distance": 0.0}, []),
        ({"accuracies.unlearned.UA": 0.0}, ["accuracies.unlearned.UA"]),
        ({"membership.unlearned.loss.auc": None}, ["membership.unlearned.loss.auc"]),
    ],
)
def test_with_other_versions_numbers_must_be_near(again, made, changes, differences):
    """And it is said that the bytes were not compared, and why."""
    auc = made.record.membership["unlearned"]["loss"].auc
    changes = {k: auc - 0.3 if v is None else v for k, v in changes.items()}
    sentences = [s.to_dict() for s in made.record.remains]
    outcome = again({"made_with.versions.torch": "1.0", **changes})
    names = [difference.what for difference in outcome.differences if not difference.what.startswith("remains")]
    assert (outcome.checked, names) == ("tolerance", differences)
    assert sentences
    assert "accuracies and AUCs within 0.05, or one example where that is more" in str(outcome)
    assert "The bytes were not compared, since versions.torch differs." in str(outcome)


def test_one_example_more_or_less_is_near(again, made):
    one = made.record.accuracies["unlearned"]["UA"] + 1 / 6
    outcome = again({"made_with.versions.torch": "1.0", "accuracies.unlearned.UA": one})
    assert [d.what for d in outcome.differences if not d.what.startswith("remains")] == []


def test_a_record_with_a_key_is_verified_with_that_key(world, tmp_path):
    record = tmp_path / "keyed.json"
    settings = {"method": "gradient_ascent", "lr": 0.1, "updates": 10, "attacks": ()}
    ungrok.delete(world.original, **world.sets, **settings, record=record, key=b"secret")
    assert b"secret" not in record.read_bytes()
    assert ungrok.verify(read_record(record), world.original, **world.sets, key=b"secret").passed
    assert [d.what for d in ungrok.verify(record, world.original, **world.sets, key=b"other").differences] == [
        "asked.forget",
        "asked.retain",
        "asked.test",
    ]
    with pytest.raises(RecipeError, match="key: the recorded deletion had one; give the same"):
        ungrok.verify(record, world.original, **world.sets)


def test_an_oracle_that_the_record_does_not_have_is_refused(again, world):
    with pytest.raises(RecipeError, match="oracle: the recorded deletion had none; leave it out"):
        again(oracle=world.oracle)
