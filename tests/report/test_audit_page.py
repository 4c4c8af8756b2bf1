"""The page of an audit answers its question and holds every table and figure."""

from __future__ import annotations

from html import unescape

from ungrok.report.audit_page import write_audit_page


def test_the_page_answers_first_and_holds_all(audited, tmp_path):
    recipe, content = audited
    of_study = tmp_path / "report" / "tables" / "Oracles.csv"
    of_study.parent.mkdir(parents=True)
    of_study.write_text("of the study in the same folder")
    page = write_audit_page(tmp_path, recipe, content)
    text = unescape(page.read_text(encoding="utf-8"))
    assert page == tmp_path / "report" / "audit.html"
    answer = content["privacy"]["answer"]
    assert f"Does a grokked model forget more privately?</span> Supported. {answer['text']}" in text
    for title in (
        "Privacy: U-LiRA at both stages",
        "Measures on planted truths",
        "Measures of unlearned models",
        "Shadow models",
        "Recipe",
    ):
        assert title in text
    assert [file.name for file in (tmp_path / "report" / "figures").glob("*.png")] == ["ulira-class.png"]
    assert "Words used here" not in text
    assert (tmp_path / "report" / "tables" / "audit" / "Privacy-U-LiRA-at-both-stages.csv").is_file()
    assert of_study.is_file()
