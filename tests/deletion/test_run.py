"""A deletion with its record."""

import copy
import hashlib
import json
from importlib import metadata

import pytest
import torch

import ungrok
from ungrok.audits.report import StressReport
from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors
from ungrok.deletion.inputs import weights_of
from ungrok.deletion.run import strongest

from .conftest import ATTACKS, METHOD, network


def same(one, other):
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_the_new_model_is_that_of_unlearn_and_the_numbers_are_those_of_audit(world, made):
    new = ungrok.unlearn(world.original, forget=world.sets["forget"], retain=world.sets["retain"], method=METHOD)
    assert same(made.deletion.model, new)
    audit = ungrok.audit(world.original, new, **world.sets, attacks=ATTACKS)
    assert made.record.accuracies == audit.accuracies
    assert made.record.distances == audit.distances
    outcomes = {name: outcome.to_dict() for name, outcome in audit.membership["unlearned"].items()}
    assert {name: outcome.to_dict() for name, outcome in made.record.membership["unlearned"].items()} == outcomes
    assert made.record.stress == strongest(audit.stress)
    assert [attacked.share for attacked in made.record.stress] == [0.0, 0.2]


def test_checksums_are_those_of_the_files(world, made):
    file = made.folder / "new.safetensors"
    new = made.record.models["unlearned"]
    assert new.files == {"new.safetensors": hashlib.sha256(file.read_bytes()).hexdigest()}
    again = network(1)
    again.load_state_dict(load_tensors(file))
    assert weights_of(again) == new.weights != made.record.models["original"].weights == weights_of(world.original)


def test_what_was_asked_done_and_with_what(made):
    record = made.record
    assert (record.method.kind, record.method.settings["lr"], record.method.settings["updates"]) == (
        "gradient_ascent",
        0.1,
        10,
    )
    assert [(attack.kind, attack.settings["lr"]) for attack in record.attacks] == [("relearn", [0.05])]
    assert record.objective.to_dict() == {
        "kind": "Classification",
        "settings": {"loss": "cross_entropy", "precision": "float32"},
    }
    assert record.made_with.versions["torch"] == metadata.version("torch")
    assert (record.made_with.device, record.made_with.gpu) == ("cpu", None)
    assert record.made_with.threads == torch.get_num_threads()


def test_the_same_call_twice_differs_in_its_date_and_seal_alone(world):
    records = [
        ungrok.delete(world.original, **world.sets, method="gradient_ascent", lr=0.1, updates=10, attacks=()).record
        for _ in range(2)
    ]
    first, second = (record.to_dict() | {"date": "", "seal": ""} for record in records)
    assert first == second
    assert first["stress"] == []


def test_a_record_holds_no_data(world, made):
    text = (made.folder / "record.json").read_text()
    numbers = {repr(value) for value in world.inputs.flatten().tolist()}
    assert len(numbers) > 400
    assert not numbers & set(text.replace(",", " ").split())
    assert "classes" not in json.loads(text)  # a class of forget examples would say what they were


def test_the_strongest_place_is_that_of_the_report_share_by_share():
    def row(subject, share, setting, dose, ua):
        numbers = {"UA": ua, "RA": 1 - ua, "TA": 0.5}
        place = {"attack": "relearn", "kind": "relearn", "setting": setting, "share": share, "dose": dose}
        return {"subject": subject, "counts": True, "updates": dose, "dose_name": "updates"} | place | numbers

    rows = [
        row(subject, share, setting, dose, ua + (0.1 if subject == "original" else 0) + (0.05 if share else 0))
        for subject in ("unlearned", "original")
        for share in (0.0, 0.1)
        for setting, values in (("slow", (0.1, 0.2)), ("fast", (0.1, 0.6)))
        for dose, ua in zip((0, 10), values, strict=True)
    ]
    none, some = strongest(StressReport(rows))
    assert (none.share, none.setting, none.dose, none.before) == (0.0, "fast", 10, 0.1)
    assert pytest.approx({"unlearned": 0.6, "original": 0.7}) == none.UA
    assert pytest.approx({"unlearned": 0.4, "original": 0.3}) == none.RA
    assert (some.share, some.UA["unlearned"], some.gap) == (0.1, pytest.approx(0.65), None)


def test_beside_an_oracle_there_are_gaps(world):
    deletion = ungrok.delete(world.original, **world.sets, oracle=world.oracle, method=METHOD, attacks=ATTACKS[:1])
    (first, _) = deletion.record.stress
    assert first.gap == pytest.approx(first.UA["unlearned"] - first.UA["oracle"])
    assert deletion.record.models["oracle"].weights == weights_of(world.oracle)
    assert "retraining was not available" not in str(deletion)


def test_what_a_method_certifies_is_recorded(world):
    method = ungrok.OutputPerturbation(clip=1, sigma=2, epochs=1)
    deletion = ungrok.delete(world.original, **world.sets, method=method, base=network(), attacks=())
    certified, said = deletion.record.certified, {one.code: one.text for one in deletion.record.remains}
    assert (certified.updates, certified.sigma, certified.distance) == (4, 2, 1)
    assert certified.epsilon == pytest.approx(4.3772, abs=1e-4)
    assert said["certified"] == (
        f"The method {method.promise(4)}: whatever else can be told of the examples, if base depends on none of them and nobody learns the seed."
    )


def test_a_broken_model_is_recorded_as_one(world):
    broken = copy.deepcopy(world.original)
    with pytest.warns(ungrok.UnlearningWarning, match="has diverged"):
        deletion = ungrok.delete(broken, **world.sets, method="gradient_ascent", lr=1e38, updates=3, attacks=())
    assert deletion.record.accuracies["unlearned"] == {"UA": None, "RA": None, "TA": None}
    assert deletion.record.remains[0].code == "diverged"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"record": "no/such/record.json"}, "record: .* cannot be written"),
        ({"out": "folder"}, r"out: 'folder' is not allowed; allowed: a file \*\.safetensors"),
        ({"method": "scrubb"}, "'scrubb' is not known"),
        ({"attacks": ["relearnn"]}, "attacks: 'relearnn' is not known"),
        ({"source": "no.safetensors"}, r"source: 'no\.safetensors' cannot be read"),
        ({"forget": []}, "forget: holds no batches"),
    ],
)
def test_mistakes_are_named_before_any_work(world, monkeypatch, tmp_path, change, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ungrok.deletion.run.unlearn", None)
    with pytest.raises(RecipeError, match=message):
        ungrok.delete(world.original, **({"method": METHOD} | world.sets | change))
