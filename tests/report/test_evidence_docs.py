"""docs/results.md: what its maker writes, and that nobody else has written it."""

from __future__ import annotations

import re
from pathlib import Path

from ungrok.recipes import shipped
from ungrok.report.evidence import read
from ungrok.report.evidence_docs import results_page
from ungrok.study.loading import load

DOCS = Path(__file__).parents[2] / "docs"
FILES = sorted((DOCS / "evidence").glob("*.json"))


def test_the_page_of_results_is_made_from_the_evidence():
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert page == results_page(read(FILES))
    known = [f"| {name} |" in page or f"\n## {name}\n" in page for name in shipped()]
    assert (len(known) > 20, all(known)) == (True, True)


def test_files_are_named_after_their_recipes():
    assert sorted(file.stem for file in FILES) == sorted(one.recipe.replace("/", "-") for one in read(FILES))


def test_a_study_stands_with_what_it_was_made_with_and_its_answers(evidence, filed):
    answer = {"claim": "efficiency", "verdict": "refuted", "text": "It needs more.", "overturned_by": "Another rate."}
    recipe = load(str(shipped()["digits"]))
    one = evidence(
        "digits",
        filed(),
        hash=recipe.hash,
        first=["One seed cannot decide anything."],
        answers=[answer],
        durable="It lasts nowhere.",
        mechanism=["Sharper is easier."],
    )
    page = results_page([one])
    section = page.partition("\n## digits\n")[2].partition("\n## ")[0]
    assert section.startswith(
        "\n3 seeds; 3 of 3 transitioned. Judged on 2026-12-01 by commit `66bf1ea7`, on cpu (AMD EPYC, 2 workers); "
        f"recipe hash `{recipe.hash}`.\n\nOne seed cannot decide anything.\n\n- **efficiency: refuted.** It needs more. Another rate.\n"
        "- **Does forgetting last?** It lasts nowhere.\n- Sharper is easier.\n\n**"
    )
    assert "| gradient ascent | refuted ×\N{NO-BREAK SPACE}0.18 [0.15,\N{NO-BREAK SPACE}0.22] |" in section
    assert "- **updates at the same rate: refuted.** Refuted in the one setting." in page
    assert not re.search(r"^\| digits \| Does training", page, re.MULTILINE)


def test_what_ran_and_is_no_longer_as_it_was_is_marked(evidence, filed):
    page = results_page([evidence("digits", filed()), evidence("gone", filed())])
    assert "recipe hash `0123abcd`; the recipe has changed since." in page
    assert "recipe hash `0123abcd`, a recipe that no longer comes with the package." in page


def test_without_evidence_every_recipe_has_not_run():
    page = results_page([])
    assert "No recipe has run in full under these rules." in page
    assert [name for name in shipped() if f"| {name} |" not in page] == []
