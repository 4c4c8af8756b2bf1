"""Sections of the page: what the navigation names stands under the same title."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from tests.report.tables.test_sequences import ROWS

from ungrok.report.attacks import Attacks
from ungrok.report.families import AnswerReport, ClassReport
from ungrok.report.mechanism import Mechanism
from ungrok.report.sections import sections
from ungrok.report.tables.verdicts import all_verdicts
from ungrok.study.results import SEQUENCES

MADE = {"versions": {"torch": "2.13"}}


def of(view, figures=()):
    return {one.key: one for one in sections(view, ClassReport(), Mechanism(view), Attacks(view), figures, MADE)}


def test_sections_of_a_study_stand_in_order(study):
    assert {key: one.title for key, one in of(study(lambda _: 40.0)).items()} == {
        "verdicts": "All verdicts", "figures": "Figures", "oracle": "Oracle gap", "updates": "Updates to target",
        "transitions": "Transitions", "cost": "Cost of grokking", "warnings": "Warnings (0)", "recipe": "Recipe",
        "provenance": "Provenance",
    }  # fmt: skip


def test_several_methods_are_ranked_and_measures_have_a_section(study, measured_study):
    assert "ranking" in of(study(unlearn=[{"kind": "gradient_ascent"}, {"kind": "finetune"}]))
    mechanism = of(measured_study)["mechanism"]
    assert mechanism.tables
    assert mechanism.sentences == Mechanism(measured_study).sentences()


def test_attacks_and_what_lasts_have_sections_with_their_own_figures(attacked_study, study):
    figures = [{"name": name, "section": name} for name in ("figures", "stress", "lasting", "stress")]
    there = of(attacked_study(["relearn"]), figures)
    assert list(there)[:4] == ["verdicts", "figures", "lasting", "stress"]
    assert {key: there[key].title for key in ("lasting", "stress")} == {
        "lasting": "Forgetting that lasts", "stress": "Attacks after unlearning",
    }  # fmt: skip
    assert {key: len(there[key].figures) for key in ("figures", "lasting", "stress")} == {
        "figures": 1,
        "lasting": 1,
        "stress": 2,
    }
    assert {key: len(there[key].tables) for key in ("lasting", "stress")} == {"lasting": 1, "stress": 3}
    assert not {"lasting", "stress"} & set(of(study(), figures[:1]))


def test_claims_are_said_of_the_later_side_as_the_family_calls_it(study, answers_study):
    classes = [table.how for _, table in of(study())["verdicts"].tables]
    assert classes[0].startswith("From the later stage, ")
    language = [table.how for table in all_verdicts(answers_study(), AnswerReport().later)]
    assert language[0].startswith("From the second group, ")


def test_what_is_empty_says_so(study):
    nothing = of(study(options={"absent": lambda cell: True}))
    assert nothing["oracle"].intro == "No unlearning path and no oracle exists at any stage."
    assert nothing["updates"].intro == "No unlearning path exists."
    alone = of(study(claims={"targets": [0.1]}))
    assert (alone["verdicts"].tables, alone["verdicts"].intro) == ([], "Nothing was compared.")
    assert alone["cost"].intro == "Nothing was compared."
    assert of(study(lambda _: 40.0))["warnings"].intro == "None."


def test_warnings_are_counted_in_their_title(study):
    one = of(study(options={"diverges": True}))["warnings"]
    assert one.title == f"Warnings ({len(one.sentences)})"
    assert len(one.sentences) > 0


def test_requests_in_sequence_have_a_section_with_their_figures_where_they_were_asked_for(study):
    assert "sequences" not in of(study())
    view = study(requests=2)
    results = replace(view.results, sequences=pd.DataFrame(ROWS, columns=SEQUENCES))
    figures = [{"name": name, "section": name} for name in ("figures", "sequences")]
    every = of(replace(view, results=results), figures)
    assert every["sequences"].title == "Requests in sequence"
    assert len(every["sequences"].tables) == 1
    assert (every["figures"].figures, every["sequences"].figures) == (figures[:1], figures[1:])
