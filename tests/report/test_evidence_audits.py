"""What shadow models say of privacy, filed beside the evidence of studies: read from an audit, written, read again, and shown."""

from __future__ import annotations

import pytest

from ungrok.core.errors import RecipeError
from ungrok.core.files import read_json, write_json
from ungrok.report.evidence import read
from ungrok.report.evidence_audits import read_audits, save_audits
from ungrok.report.evidence_docs import results_page
from ungrok.report.evidence_page import as_json, write_evidence
from ungrok.report.tables.audit import privacy_table, with_names
from ungrok.study.names import Names


@pytest.fixture
def run(audited, tmp_path):
    """Return a folder that holds an audit, and nothing else."""
    recipe, told = audited
    made = {"commit": "0123456789abcdef", "date": "2026-01-02", "device": "cpu", "processor": "A processor"}
    head = {"recipe": recipe.name, "hash": recipe.hash, "settings": recipe.to_dict(), "made": made}
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run" / "audit.json", head | told)
    return tmp_path / "run"


def test_an_audit_is_filed_with_what_it_was_made_with_and_names_for_people(audited, run, tmp_path):
    recipe, told = audited
    (one,) = read_audits([run])
    assert (one.recipe, one.hash, one.shadows) == ("tiny", recipe.hash, 16)
    assert one.made == (
        f"16 shadow models: {one.scale.model} on {one.scale.of_data}, 150 updates. Judged on 2026-01-02 by commit 01234567, on cpu (A processor); "
        f"recipe hash {recipe.hash}."
    )
    assert one.answer == f"Supported. {told['privacy']['answer']['text']}"
    assert one.privacy == with_names(told["privacy"], Names(recipe))
    assert one.privacy["rows"][0]["earlier_stage"] == "at memorization"
    (file,) = save_audits(tmp_path / "filed", [one])
    assert file.name == "tiny.audit.json"
    assert read_audits([tmp_path / "filed"]) == read_audits([file]) == [one]
    assert read([run, file, tmp_path / "filed"]) == []
    with pytest.raises(RecipeError, match="two audits are called 'tiny'"):
        read_audits([run, file])


def test_pages_show_the_answer_and_every_row(audited, run, tmp_path):
    recipe, told = audited
    audits = read_audits([run])
    page = results_page([], audits)
    (row,) = privacy_table(with_names(told["privacy"], Names(recipe))).rows
    assert "## Does a grokked model forget more privately?" in page
    gone = ", a recipe that no longer comes with the package."
    assert f"### tiny\n\n{audits[0].answer} {audits[0].made.removesuffix('.')}{gone}" in page
    assert "| " + " | ".join(str(cell) for cell in row) + " |" in page
    html = write_evidence(tmp_path / "page", [], audits).read_text(encoding="utf-8")
    assert audits[0].made in html
    assert read_json(tmp_path / "page" / "evidence.json") == as_json([], audits)
    assert as_json([], audits)["audits"][0]["privacy"] == audits[0].privacy


def test_an_audit_without_a_comparison_is_passed_over_and_an_old_one_refused(run):
    content = read_json(run / "audit.json")
    write_json(run / "audit.json", {key: value for key, value in content.items() if key != "privacy"})
    assert read_audits([run]) == []
    write_json(run / "audit.json", {key: value for key, value in content.items() if key != "made"})
    with pytest.raises(RecipeError, match="was judged by another version of the package"):
        read_audits([run])
