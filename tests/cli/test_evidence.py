"""The command that lays studies side by side."""

from __future__ import annotations

import json


def test_a_page_and_a_json_file_are_written(after_study):
    code, out, err = after_study("evidence", "here/tiny", "--out", "page")
    assert (code, out, err) == (0, "page/evidence.html\n", "")


def test_what_is_saved_is_evidence_again(after_study):
    assert after_study("evidence", "here/tiny", "--save", "saved")[:2] == (0, "saved/tiny.json\n")
    code, of_file, _ = after_study("evidence", "saved/tiny.json", "--json")
    assert code == 0
    made = json.loads(of_file)
    assert made == json.loads(after_study("evidence", "here/tiny", "--json")[1])
    assert [one["recipe"] for one in made["studies"]] == ["tiny"]
    assert {word for one in made["questions"] for word, count in one["counts"].items() if count} == {"exploratory"}


def test_the_page_of_results_is_printed(after_study):
    code, out, _ = after_study("evidence", "here/tiny", "--markdown")
    assert code == 0
    assert out.startswith("# Results\n")
    assert "\n## tiny\n" in out


def test_what_is_not_there_is_named(after_study):
    assert after_study("evidence", "absent") == (2, "", "error: RUN: 'absent' is not there\n")
