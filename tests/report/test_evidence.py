"""The evidence of a study: read from its folder, saved, and read again."""

from __future__ import annotations

import pytest

from ungrok.core.errors import DamagedFile, RecipeError
from ungrok.core.files import read_json, write_json
from ungrok.report.evidence import counted, hardware, of_study, read, save
from ungrok.study import outputs
from ungrok.study.loading import load

METHODS = [{"kind": "gradient_ascent"}, {"kind": "fisher"}]


@pytest.fixture
def folder(study, tmp_path):
    """Return a study and the folder that it was written to."""
    view = study(unlearn=METHODS)
    doses = {method: {"budget": own.end, "matched": own.matched} for method, own in view.doses.items()}
    made = {
        "doses": doses,
        "device": "cpu",
        "processor": "AMD EPYC",
        "workers": 2,
        "commit": "66bf1ea",
        "date": "2026-12-01",
    }
    outputs.write_tables(tmp_path / "run", view.plan, view.results, view.verdicts, made)
    return view, tmp_path / "run"


def test_the_evidence_of_a_study_is_its_headline(folder):
    view, where = folder
    one = of_study(where)
    headline = [verdict.to_dict() for verdict in view.verdicts if verdict.headline]
    assert [row.to_dict() for row in one.verdicts] == headline
    assert 0 < len(headline) < len(view.verdicts)
    assert one.families == {"gradient_ascent": "ascent", "fisher": "one-shot"}
    assert one.names == {
        "pre_grok": "before grokking", "grokked": "after grokking",
        "pre_grok → grokked": "before grokking → after grokking", "class": "one class",
        "gradient_ascent": "gradient ascent", "fisher": "Fisher noise",
    }  # fmt: skip
    assert one.kinds == {"gradient_ascent": "gradient_ascent", "fisher": "fisher", "class": "class"}
    assert one.scale.sentence == "MLP on 400 examples of 8x8 digits, 1,000 updates, 8 seeds"
    assert [end.method for end in one.ends if end.stage == "grokked"] == [
        "original",
        "retrain",
        "gradient_ascent",
        "fisher",
    ]
    assert one.called("pre_grok → grokked") == "before grokking → after grokking"
    assert one.called("class → other") == "one class → other"
    assert one.family("of a plug-in that is gone") == "other"
    assert (one.recipe, one.hash, one.seeds) == ("by-hand", load(str(where / "recipe.yaml")).hash, list(range(8)))
    assert (one.commit, one.date, one.device, one.hardware) == ("66bf1ea", "2026-12-01", "cpu", "AMD EPYC, 2 workers")
    assert one.transitions == {"base": {"grokked": 8}}
    answered = read_json(where / "report" / "answers.json")
    assert [(answer.claim, answer.text) for answer in one.answers] == [
        (claim["claim"], claim["text"]) for claim in answered["claims"]
    ]
    assert len(one.answers) > 1
    assert (one.mechanism, one.durable) == ([], "")
    write_json(where / "report" / "answers.json", answered | {"durable": {"text": "It lasts."}})
    assert of_study(where).durable == "It lasts."
    write_json(where / "report" / "mechanism.json", ["Sharper is easier."])
    assert of_study(where).mechanism == ["Sharper is easier."]


def test_what_is_saved_is_read_back_from_the_file_or_its_folder(folder, tmp_path):
    one = of_study(folder[1])
    other = one.model_copy(update={"recipe": "a/b"})
    files = save(tmp_path / "saved", [one, other])
    assert [file.name for file in files] == ["by-hand.json", "a-b.json"]
    assert read([tmp_path / "saved"]) == [other, one]
    assert read(files) == read([folder[1], files[1]]) == [other, one]


def test_two_studies_of_one_name_are_refused(folder, tmp_path):
    with pytest.raises(RecipeError, match="two studies are called 'by-hand'; leave one out"):
        read([folder[1], *save(tmp_path / "saved", [of_study(folder[1])])])


def test_a_study_that_another_version_judged_is_refused(folder):
    where = folder[1]
    made = read_json(where / "provenance.json")
    del made["verdicts_schema"], made["checksum"]
    write_json(where / "provenance.json", made)
    with pytest.raises(RecipeError, match=r"was judged by another version of the package; `ungrok report .*` judges"):
        of_study(where)


def test_what_is_no_evidence_is_named(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(RecipeError, match="holds no study"):
            read([path])
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DamagedFile, match="not readable as JSON"):
        read([tmp_path / "broken.json"])
    write_json(tmp_path / "other.json", {"version": 1})
    with pytest.raises(RecipeError, match=r"other.json'*: is no evidence of this version \(version: 1 is not allowed"):
        read([tmp_path / "other.json"])


def test_hardware_is_what_the_study_ran_on(folder):
    recipe = folder[0].recipe
    gpu = recipe.model_copy(update={"device": "cuda"})
    assert hardware({"processor": "AMD EPYC", "workers": None}, recipe) == "AMD EPYC"
    assert hardware({}, recipe) == "CPU"
    assert hardware({"processor": "AMD EPYC", "gpu": "H200"}, gpu) == "H200"


def test_seeds_are_counted_by_the_status_of_their_training(study):
    table = study().results.transitions.head(3).assign(status=["grokked", "memorized_only", "grokked"])
    assert counted(table) == {"base": {"grokked": 2, "memorized_only": 1}}
