"""Advice on when to stop, on the command line."""

from __future__ import annotations

import json
import re

import pytest

from ungrok.cli.advise import share
from ungrok.core.errors import RecipeError


def test_a_share_is_a_number_or_in_percent():
    assert (share("1%"), share("0.02")) == (0.01, 0.02)
    for text in ("many", "0", "100%", "-1%", "nan"):
        with pytest.raises(RecipeError, match=r"--size: .* is no share of a training set"):
            share(text)


def test_advise_prints_the_table_the_recommendation_and_the_figure(after_study, tmp_path):
    words = ("advise", "here/tiny", "--requests", "20", "--size", "1%", "--out", str(tmp_path / "figure"))
    code, out, err = after_study(*words)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split("\t")[:2] == ["stop", "delete by"]
    assert any("\tretraining\t" in line for line in lines)
    (asked,) = (line for line in lines if line.startswith("For "))
    assert asked.startswith("For 20 requests for 1 % of the training set (each costs what ")
    assert lines[-1] == str(tmp_path / "figure" / "advice.png")
    assert (tmp_path / "figure" / "advice.png").is_file()


def test_the_report_of_a_study_has_the_figure_too(finished):
    report = finished[0] / "here" / "tiny" / "report"
    assert (report / "figures" / "advice.png").read_bytes()[:4] == b"\x89PNG"
    cost = (report / "index.html").read_text().partition('<section id="cost"')[2].partition("</section>")[0]
    (caption,) = re.findall(r"Left is cheaper[^<]*", cost)
    assert caption.count(".") == 1
    assert "What deleting costs, and what it damages" in cost


def test_advise_on_several_studies_says_how_often_it_was_right(after_study, tmp_path):
    options = ("--requests", "2", "--accuracy", "0", "--out", str(tmp_path))
    code, out, _ = after_study("advise", "here/tiny", "here/tiny", *options)
    assert code == 0
    assert "Over 2 settings: stop " in out
    assert "No setting could be held out: none shares a policy with settings that were trained otherwise." in out
    code, out, _ = after_study("advise", "here/tiny", *options, "--json")
    content = json.loads(out)
    stages = {policy["stage"] for policy in content["settings"][0]["policies"]}
    assert stages == {"pre_grok", "grokked"}
    assert content["terms"]["requests"] == 2
    anew = [policy for policy in content["settings"][0]["policies"] if policy["method"] == "retrain from scratch"]
    for policy in anew:
        costs = policy["passes"]
        assert costs["total"] == pytest.approx(3 * costs["training"])
        assert costs["measured_requests"] == [costs["training"]]
    assert min(policy["passes"]["extra"] for policy in anew) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--requests", "50"), "error: requests: 50 requests for "),
        (("--requests", "2", "--by", "days"), "error: --by: "),
        (("--requests", "2", "--size", "none"), "error: --size: 'none' is no share"),
        (
            ("--requests", "2", "--accuracy", "1.0"),
            "error: accuracy: no stage of tiny has models of 1 on validation data",
        ),
        (("--requests", "2", "--batch-size", "8"), "error: --batch-size: every study says how many examples"),
        (("--requests", "0"), "error: Invalid value for '--requests'"),
        ((), "error: Missing option '--requests'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(after_study, words, message):
    code, out, err = after_study("advise", "here/tiny", *words)
    assert (code, out) == (2, "")
    assert err.startswith(message)
