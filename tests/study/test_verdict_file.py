"""The schema of ``verdicts.json``, against what a study writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ungrok.core.errors import DamagedFile, RecipeError
from ungrok.study.claims import NOTES, Effect, Wins, judge
from ungrok.study.outputs import doses_of
from ungrok.study.results import collect
from ungrok.study.verdict_file import (
    SCHEMA,
    VERSION,
    FiledVerdict,
    VerdictFile,
    json_schema,
    read_verdicts,
    schema_text,
)

PAGE = (Path(__file__).parents[2] / "docs" / "verdicts.md").read_text(encoding="utf-8")


def filed(**changes):
    row = {
        "claim": "efficiency",
        "reading": "same_rate",
        "comparison": "pre_grok → grokked",
        "setting": {"forget": "class", "method": "gradient_ascent", "metric": "updates", "at": "UA ≤ 0.1"},
        "headline": True,
        "effect": -1.7,
        "unit": "log ratio of updates, restricted to 400",
        "ci_low": None,
        "ci_high": -1.5,
        "n_seeds": 10,
        "p_value": 0.004,
        "verdict": "refuted",
        "notes": [{"code": "not_reached", "text": "target not reached: 0 → 2 of 10"}],
    }
    return row | changes


@pytest.fixture(scope="module")
def real(finished):
    """Return the verdicts of a study of one seed."""
    plan, store = finished
    return judge(collect(plan, store).rows, plan.recipe, doses_of(plan, store))


def test_the_file_in_the_package_is_the_schema():
    assert SCHEMA.read_text(encoding="utf-8") == schema_text()
    assert json_schema()["$id"] == f"urn:ungrok:verdicts:{VERSION}"


def test_what_a_study_writes_is_read_back(real, tmp_path):
    path = tmp_path / "verdicts.json"
    path.write_text(json.dumps([verdict.to_dict() for verdict in real]))
    rows = read_verdicts(path)
    assert [row.to_dict() for row in rows] == [verdict.to_dict() for verdict in real] != []
    assert [row.as_effect for row in rows] == [verdict.effect for verdict in real]
    assert [row.as_wins for row in rows] == [verdict.wins for verdict in real]
    assert {row.as_wins is None for row in rows} == {True, False}
    assert {row.headline for row in rows} == {True, False}


def test_wins_are_named_and_absent_in_earlier_files():
    row = FiledVerdict.model_validate(filed(wins={"fewer": 6, "more": 1, "undecided": 3}))
    assert (row.as_wins, row.as_wins.net) == (Wins(6, 1, 3), 5)
    assert FiledVerdict.model_validate(filed()).as_wins is None


def test_an_effect_is_that_of_the_study():
    row = FiledVerdict.model_validate(filed())
    assert row.as_effect == Effect(-1.7, (-float("inf"), -1.5), "updates", "log ratio", 400.0)
    assert row.measure == "log ratio of updates"
    plain = FiledVerdict.model_validate(filed(effect=0.01, ci_low=-0.01, ci_high=0.03, unit="accuracy"))
    assert plain.as_effect == Effect(0.01, (-0.01, 0.03), "accuracy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": "likely"}, "0.verdict: 'likely' is not allowed"),
        ({"headline": False}, "refuted stands outside the headline family"),
        ({"note": ""}, "no such key 'note'"),
        ({"p_value": 1.5}, "0.p_value: 1.5 is not allowed"),
    ],
)
def test_what_is_no_verdict_is_refused(tmp_path, changes, message):
    path = tmp_path / "verdicts.json"
    path.write_text(json.dumps([filed(**changes)]))
    with pytest.raises(RecipeError, match=f"is no list of verdicts of version {VERSION} .*{re.escape(message)}"):
        read_verdicts(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DamagedFile, match=r"verdicts\.json: missing"):
        read_verdicts(tmp_path / "verdicts.json")


def test_words_stand_in_the_headline_only_in_the_schema_too():
    row = VerdictFile.model_json_schema()["$defs"]["FiledVerdict"]
    assert row["if"] == {"properties": {"headline": {"const": False}}}
    assert row["then"] == {"properties": {"verdict": {"const": "exploratory"}}}


def test_the_page_names_every_field_and_note():
    fields = [
        *FiledVerdict.model_fields,
        "forget",
        "method",
        "metric",
        "at",
        "code",
        "text",
        "fewer",
        "more",
        "undecided",
    ]
    assert [name for name in fields if f"`{name}`" not in PAGE] == []
    assert [code for code in NOTES if f"| `{code}` |" not in PAGE] == []
    assert f"version {VERSION}" in PAGE
