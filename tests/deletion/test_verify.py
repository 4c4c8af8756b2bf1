"""Running a recorded deletion again."""

import copy
import hashlib
import shutil
from fnmatch import fnmatchcase
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError

import ungrok
from ungrok.core.errors import RecipeError
from ungrok.core.files import read_json, save_tensors, write_json
from ungrok.deletion.hashes import seal_of
from ungrok.deletion.record import DeletionRecord, read_record
from ungrok.deletion.run import deleted

from .conftest import METHOD, network


def sealed(content):
    """Return a record as whoever forges it would leave it, who knows what is hashed under no key of a user's."""
    return content | {"seal": seal_of(content, content["models"]["original"]["weights"].encode())}


def there(content, place):
    """Return the list or dict in which a place with dots ends, and its key there; names of files hold dots themselves."""
    for name in (*(content if isinstance(content, dict) else ()), place.partition(".")[0]):
        if place == name:
            return content, int(name) if isinstance(content, list) else name
        if place.startswith(f"{name}."):
            inner = content[int(name) if isinstance(content, list) else name]
            return there(inner, place.removeprefix(f"{name}."))
    raise KeyError(place)


@pytest.fixture
def again(world, made, tmp_path):
    """Return a function that verifies the record with changes at places named with dots."""
    shutil.copytree(made.folder, tmp_path / "deletion")

    def verified(changes=None, **given):
        file = tmp_path / "deletion" / "record.json"
        content = read_json(file)
        content["models"]["unlearned"]["path"] = str(tmp_path / "deletion" / "new.safetensors")
        for place, value in (changes or {}).items():
            here, last = there(content, place)
            assert here[last] != value
            here[last] = value
        write_json(file, sealed(content))
        return ungrok.verify(file, **({"model": world.original} | world.sets | given))

    return verified


def test_an_untouched_record_is_verified_by_its_bytes(again):
    outcome = again()
    assert (outcome.passed, outcome.checked, outcome.differences, outcome.notes) == (True, "bytes", [], [])
    assert str(outcome) == (
        "Verified: run again on the same kind of machine with the same versions; checked: the bytes of the new model, and every number, word and hash."
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


def test_a_renamed_file_is_known_by_its_checksum(again, world, made, tmp_path):
    """That of the original and that of the new model; another content is not."""
    file = tmp_path / "original.safetensors"
    save_tensors(file, dict(world.original.state_dict()))
    files = {"models.original.files": {"w.safetensors": hashlib.sha256(file.read_bytes()).hexdigest()}}
    assert again(files, source=file).passed
    other = {"models.original.files": {"w.safetensors": "0" * 64}}
    (difference,) = again(other, source=file).differences
    assert difference.what == "models.original.files.w.safetensors"


def test_what_lies_at_a_recorded_path_is_read_only_if_it_is_a_file(again):
    """A device would be read without end."""
    outcome = again({"models.original.path": "/dev/zero", "models.original.files": {"zero": "0" * 64}})
    assert (outcome.passed, outcome.notes) == (
        True,
        ["/dev/zero: not there, so the checksums of its files were not compared."],
    )


@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({}, []),
        ({"distances.original.weight_distance": 1.005}, []),
        ({"distances.original.weight_distance": 1.02}, ["distances.original.weight_distance"]),
        ({"membership.unlearned.loss.auc": 0.009}, []),
        ({"membership.unlearned.loss.auc": 0.011}, ["membership.unlearned.loss.auc"]),
        ({"stress.0.UA.unlearned": 1 / 6}, ["stress.0.UA.unlearned"]),  # one example
    ],
)
def test_with_other_versions_numbers_must_be_near(again, made, changes, differences):
    """And it is said that the bytes were not compared, and why. Distances are changed by a factor, shares by a sum."""
    content = made.record.to_dict()
    for place, change in changes.items():
        here, last = there(content, place)
        changes = {place: here[last] * change if "distance" in place else here[last] + change}
    outcome = again({"made_with.versions.torch": "1.0", **changes})
    names = [difference.what for difference in outcome.differences if not difference.what.startswith("remains")]
    assert (outcome.checked, names) == ("tolerance", differences)
    assert (
        "checked: accuracies, AUCs and other shares within 0.01, so that no answer may differ among fewer than 100; distances within "
        "1 %; every other number, code and hash exactly."
    ) in str(outcome)
    assert "The bytes were not compared, since versions.torch differs." in str(outcome)


def test_a_set_of_one_example_can_fail(world, tmp_path):
    """Also where bytes need not be equal, and whatever tolerance is allowed."""
    sets = world.sets | {"forget": world.batches(0, 1), "test": world.sets["test"] + world.batches(1, 6)}
    settings = {"method": "gradient_ascent", "lr": 0.1, "updates": 10, "attacks": ()}
    record = ungrok.delete(world.original, **sets, **settings).record
    content = record.to_dict()
    assert (content["accuracies"]["unlearned"]["UA"], content["asked"]["forget"]["examples"]) == (0.0, 1)
    content["made_with"]["threads"] += 1
    content["accuracies"]["unlearned"]["UA"] = 1.0
    outcome = ungrok.verify(DeletionRecord.model_validate(content), world.original, **sets, tolerance=0.99)
    assert "accuracies.unlearned.UA: recorded 1.0, now 0.0" in [str(difference) for difference in outcome.differences]
    with pytest.raises(RecipeError, match="tolerance: 1 is not allowed; allowed: at least 0 and less than 1"):
        ungrok.verify(record, world.original, **sets, tolerance=1)


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
        "seal",
    ]
    with pytest.raises(RecipeError, match="key: the recorded deletion had one; give the same"):
        ungrok.verify(record, world.original, **world.sets)


def test_what_the_recorded_deletion_did_not_have_is_refused_and_what_it_had_is_asked_for(again, world, whole):
    for name in ("oracle", "base", "factory", "validation"):
        given = dict(whole.given)
        with pytest.raises(RecipeError, match=f"{name}: the recorded deletion had none; leave it out"):
            again(**{name: given.pop(name)})
        with pytest.raises(RecipeError, match=f"{name}: the recorded deletion had one; give the same"):
            ungrok.verify(whole.record, world.original, **given)


def test_other_models_to_start_from_are_named_and_nothing_is_run(whole, world, monkeypatch):
    monkeypatch.setattr("ungrok.deletion.verify.deleted", None)
    other = {
        "base": network(5),
        "factory": lambda: network(6),
        "oracle": network(7),
        "validation": world.batches(53, 60),
    }
    outcome = ungrok.verify(whole.record, world.original, **whole.given | other)
    assert outcome.checked == "inputs"
    names = [difference.what for difference in outcome.differences]
    assert names == ["asked.validation", "models.oracle.weights", "models.base.weights", "models.fresh.weights"]


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """Return a record of a deletion for which all was given that can be, the arguments of its verification, and ``deleted`` with a memory."""
    folder, made = tmp_path_factory.mktemp("whole"), {}
    save_tensors(folder / "original.safetensors", dict(world.original.state_dict()))
    given = world.sets | {
        "test": world.batches(40, 52),
        "validation": world.batches(52, 60),
        "oracle": world.oracle,
        "base": network(1),
        "factory": lambda: network(2),
        "source": folder / "original.safetensors",
    }

    def remembered(inputs, method, tests, asked):
        key = str((method, tests, inputs.seed))
        if key not in made:
            made[key] = deleted(inputs, method, tests, asked)
        return made[key]

    attacks, out = [ungrok.Relearn(shares=0.2, updates=3, lr=0.05)], folder / "new.safetensors"
    deletion = ungrok.delete(world.original, **given, method=METHOD, attacks=attacks, out=out)
    return SimpleNamespace(record=deletion.record, given=given, deleted=remembered)


def edited(value):
    """Return another value of the same type, by more than any tolerance."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value[:-1] + ("0" if value.endswith("1") else "1")
    return value + 1 if isinstance(value, int) else value + max(0.05, abs(value) / 20)


def places(value, name=""):
    """Yield the place, with dots, of all that stands in plain types, but for what is null."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, f"{name}.{key}".lstrip("."))
    if not isinstance(value, dict | list | None):
        yield name


EMPTY = {"place", "tokenizer", "memorization", "certified"}
"""Fields that a classifier's record has not, or none that was made in Python, or by a method that certifies nothing."""

ONLY_SEALED = ("date", "made_with.*", "models.*.path", "method.settings.warmup_epochs", "attacks.*.settings.*")
"""What no run can tell: when, where and with what it was done, and settings without effect on what a record of so short a run states."""

ONLY_SEALED_ELSEWHERE = (*ONLY_SEALED, "models.fresh.weights", "models.*.structure")


@pytest.mark.parametrize(("processor", "unseen"), [(None, ONLY_SEALED), ("another", ONLY_SEALED_ELSEWHERE)])
@pytest.mark.parametrize("name", [name for name in DeletionRecord.model_fields if name not in EMPTY])
def test_whatever_is_edited_by_hand_fails(whole, world, monkeypatch, name, processor, unseen):
    """Each number, word and hash by itself, sealed anew where a run can tell, else with the seal that it had."""
    now = whole.record.made_with.model_copy(update={"processor": processor} if processor else {})
    monkeypatch.setattr("ungrok.deletion.verify.made_with", lambda _: now)
    monkeypatch.setattr("ungrok.deletion.verify.deleted", whole.deleted)
    passed, each = [], [place for place in places(whole.record.to_dict()) if place.partition(".")[0] == name]
    for place in each:
        content = whole.record.to_dict()
        here, last = there(content, place)
        here[last] = edited(here[last])
        known = name == "seal" or any(fnmatchcase(place, pattern) for pattern in unseen)
        try:
            changed = DeletionRecord.model_validate(content if known else sealed(content))
            outcome = ungrok.verify(changed, world.original, **whole.given)
        except (RecipeError, ValidationError):  # a kind or a value that is not known
            continue
        if outcome.passed:
            passed.append(place)
    assert each
    assert passed == []


def test_an_edited_certificate_fails(world):
    given = world.sets | {"test": world.batches(40, 52), "base": network(1)}
    record = ungrok.delete(world.original, **given, method="output_perturbation", attacks=[]).record
    assert ungrok.verify(record, world.original, **given).passed
    for name in ("updates", "sigma", "distance", "epsilon", "delta"):
        content = record.to_dict()
        content["certified"][name] *= 2
        outcome = ungrok.verify(DeletionRecord.model_validate(sealed(content)), world.original, **given)
        assert f"certified.{name}" in [difference.what for difference in outcome.differences]
