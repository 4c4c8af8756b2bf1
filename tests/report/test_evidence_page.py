"""The page and the JSON file over studies."""

from __future__ import annotations

import json

import pytest

from ungrok.core.errors import StoreError
from ungrok.core.files import read_json
from ungrok.report.across import questions
from ungrok.report.evidence_page import (
    as_json,
    contents,
    extents,
    overview,
    said,
    study_sentences,
    word,
    write_evidence,
)
from ungrok.report.export import LATEX, text_of
from ungrok.report.page import filled, tables_of

SPACE = "\N{NO-BREAK SPACE}"


@pytest.fixture
def asked(evidence, filed):
    """Return a function that asks one question of studies that gave these words, each with an effect."""

    def ask(*words):
        every = [
            evidence(f"study-{index}", filed(verdict=word, effect=effect, ci_low=None, ci_high=None))
            for index, (word, effect) in enumerate(words)
        ]
        return questions(every)[0]

    return ask


@pytest.mark.parametrize(
    ("words", "one", "text"),
    [
        (["supported"] * 3, "supported", "Supported in all 3 settings."),
        (["refuted"] * 2, "refuted", "Supported in none of 2 settings, refuted in all."),
        (["supported", "refuted", "inconclusive"], "mixed", "Supported in 1 of 3 settings, refuted in 1, open in 1."),
        (["supported", "inconclusive"], "inconclusive", "Supported in 1 of 2 settings, open in 1."),
        (["supported", "exploratory"], "supported", "Supported in the one setting; 1 more exploratory."),
        (["refuted"], "refuted", "Refuted in the one setting."),
        (["exploratory"] * 2, "exploratory", "Nothing was judged: all 2 settings are exploratory."),
    ],
)
def test_a_question_gets_one_word_and_the_counts(asked, words, one, text):
    whole = asked(*((each, 0.0) for each in words)).whole
    assert (word(whole), extents(whole)) == (one, text)


def test_no_median_stands_without_its_spread(asked):
    answer = said(asked(("refuted", -0.6931471805599453), ("refuted", 0.0), ("refuted", 0.6931471805599453)))
    assert answer.sentence == (
        f"Supported in none of 3 settings, refuted in all. Over 3 settings with an effect it is ×{SPACE}1 in the median, "
        f"×{SPACE}0.5 to ×{SPACE}2; standard deviation between settings: factor 2."
    )
    assert answer.overturned_by == "No recipe alone decides this."
    assert said(asked(("refuted", 0.0))).sentence.endswith(f"In the one setting with an effect it is ×{SPACE}1.")
    assert said(asked(("inconclusive", None))).sentence == "Open in the one setting."


def test_what_one_recipe_decides_is_said(asked):
    answer = said(asked(("supported", 1.0), ("supported", 1.0), ("refuted", -1.0)))
    assert answer.overturned_by == "Without study-2: Supported in all 2 settings."
    assert said(asked(("supported", 1.0))).overturned_by == "One recipe only: nothing is known of others."


def test_the_overview_says_what_holds_in_all_in_some_and_in_none(evidence, filed):
    a = evidence(
        "a", filed(verdict="supported"), filed(reading="own_rate"), filed(reading="distance", verdict="supported")
    )
    b = evidence("b", filed(verdict="supported"), filed(reading="own_rate"), filed(reading="distance"))
    c = evidence("c", filed(claim="collateral", reading="", verdict="exploratory"))
    assert overview(questions([a, b, c])) == [
        "Supported in all settings: updates at the same rate.",
        "Supported in some settings: distance moved.",
        "Supported in no setting: updates at its own rate.",
        "Judged in no setting: damage beyond the oracle.",
    ]


def test_the_page_and_the_file_are_written(evidence, filed, tmp_path):
    every = [evidence("a", filed()), evidence("b", filed(verdict="inconclusive"), first=["Nothing transitioned."])]
    page = write_evidence(tmp_path / "out", every)
    text = page.read_text(encoding="utf-8")
    assert page == tmp_path / "out" / "evidence.html"
    assert "<title>ungrok: evidence of 2 recipes</title>" in text
    assert text.count('src="data:image/png;base64,') == 1
    assert "Nothing transitioned." in text
    figures = sorted(path.name for path in (tmp_path / "out" / "figures").iterdir())
    assert figures == [f"efficiency-same_rate-log-ratio-of-updates.{form}" for form in ("pdf", "png")]
    assert read_json(tmp_path / "out" / "evidence.json") == as_json(every)


def test_the_page_escapes_latex_as_the_files_of_tables_do(evidence, filed):
    every = [evidence("a", filed())]
    text = filled(contents(every, questions(every), []))
    line = text.partition("const LATEX = ")[2].partition(";\n")[0]
    assert json.loads(line) == LATEX


def test_the_file_holds_every_study_and_row(evidence, filed):
    every = [evidence("a", filed()), evidence("b", filed(verdict="inconclusive"))]
    made = as_json(every)
    assert [one["recipe"] for one in made["studies"]] == ["a", "b"]
    assert [row for setting in made["questions"][0]["settings"] for row in setting["rows"]] == [
        row.to_dict() for one in every for row in one.verdicts
    ]
    assert made["questions"][0]["decided_by"] == ["a", "b"]


def test_the_page_shows_every_row(evidence, filed):
    every = [evidence("a", filed(), filed(method="scrub")), evidence("b", filed(reading="own_rate"))]
    tables = {table.title: table for table in tables_of(contents(every, questions(every), []))}
    same, own = tables["updates at the same rate"], tables["updates at its own rate"]
    assert [[text_of(cell) for cell in row][:4] for row in (*same.rows, *own.rows)] == [
        ["a", "one class", "ascent", "gradient ascent"], ["a", "one class", "other", "scrub"],
        ["b", "one class", "ascent", "gradient ascent"],
    ]  # fmt: skip


def test_a_study_speaks_in_its_own_words(evidence):
    answer = {"claim": "oracle_gap", "verdict": "mixed", "text": "It is nearer.", "overturned_by": ""}
    assert study_sentences(evidence("a", first=["One seed."], answers=[answer], mechanism=["Sharper is easier."])) == [
        "One seed.", "oracle gap: mixed. It is nearer.", "Sharper is easier."
    ]  # fmt: skip


def test_a_folder_that_cannot_be_written_is_named(evidence, filed, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        write_evidence(tmp_path / "file", [evidence("a", filed())])
