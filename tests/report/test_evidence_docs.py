"""docs/results.md: what its maker writes, and that nobody else has written it."""

from __future__ import annotations

import re
from pathlib import Path

from ungrok.recipes import shipped
from ungrok.report.evidence import read
from ungrok.report.evidence_audits import read_audits
from ungrok.report.evidence_docs import results_page
from ungrok.study.loading import load

DOCS = Path(__file__).parents[2] / "docs"
FILES = sorted((DOCS / "evidence").glob("*.json"))


def test_the_page_of_results_is_made_from_the_evidence():
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert page == results_page(read(FILES), read_audits(FILES))
    known = [f"| {name} |" in page or f"## {name}\n" in page for name in shipped()]
    assert (len(known) > 20, all(known)) == (True, True)


def test_files_are_named_after_their_recipes():
    names = [f"{one.recipe}.json" for one in read(FILES)] + [f"{one.recipe}.audit.json" for one in read_audits(FILES)]
    assert sorted(file.name for file in FILES) == sorted(name.replace("/", "-") for name in names)


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
        "\nMLP on 400 examples of 8x8 digits, 6,000 updates, 3 seeds; 3 of 3 transitioned. Judged on 2026-12-01 by commit `66bf1ea7`, on cpu (AMD EPYC, 2 workers); "
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


def test_the_page_opens_with_the_answer_and_the_papers_parts(evidence, filed):
    rows = [
        filed(),
        filed(method="fisher", verdict="supported", effect=1.0),
        filed(claim="collateral", reading="", verdict="inconclusive"),
    ]
    families, kinds = (
        {"gradient_ascent": "ascent", "fisher": "one-shot"},
        {"gradient_ascent": "gradient_ascent", "fisher": "fisher", "class": "class"},
    )
    page = results_page([evidence("digits", *rows, families=families, kinds=kinds), evidence("cifar10-small", filed())])
    opening, parts, rest = page.split("\n## ", 2)
    assert opening.startswith(
        "# Results\n\nDo models unlearn better after grokking, as the paper says (arXiv 2512.03437)? 2 recipes have run in full"
    )
    assert (
        "Of the paper's 12 tables and figures there are on the paper's data none with rows that agree, 2 with rows that contradict (Table 1 and Figure 2) "
        "and 10 open; on other data none with rows that agree, none with rows that contradict and 12 open."
    ) in opening
    assert (
        "- **efficiency**: unlearned after grokking, a model needs fewer updates at the same rate in 1 of 3 settings (refuted in 2).\n"
        "- **collateral**: unlearned after grokking, a model does less damage beyond what retraining does too not in the one setting (open).\n"
    ) in opening
    assert parts.startswith("The paper's tables and figures\n")
    assert rest.startswith("Over all recipes\n")
    assert [name for name in ("Table 1", "Table 12", "Figure 1", "Figure 2") if f"\n| {name} | " not in parts] == []
