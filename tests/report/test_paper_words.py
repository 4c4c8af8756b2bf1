"""Which rows speak of a part of the paper, and the word that they give."""

from __future__ import annotations

import pytest

from ungrok.report.paper_words import PARTS, rows_of, said, studies_of, word
from ungrok.study.claims import CLAIMS
from ungrok.study.claims.answers import WORDINGS

KINDS = {
    "gradient_ascent": "gradient_ascent", "slow": "gradient_ascent", "salun": "salun", "class": "class", "classes-2-0.5": "classes",
    "random-0.15": "random",
}  # fmt: skip


def collateral(filed, **changes):
    return filed(claim="collateral", reading="", metric="TA", **changes)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "open"),
        (["inconclusive", "exploratory"], "open"),
        (["supported", "inconclusive"], "agrees"),
        (["refuted", "inconclusive", "exploratory"], "contradicts"),
        (["supported", "refuted"], "open"),
    ],
)
def test_rows_give_one_word(filed, verdicts, expected):
    rows = [filed(verdict=name, headline=name != "exploratory") for name in verdicts]
    assert word(rows) == expected


@pytest.mark.parametrize(
    ("verdicts", "studies", "expected"),
    [
        ([], 0, "open: nothing run"),
        ([], 1, "open: nothing is judged"),
        (["exploratory"], 1, "open: nothing is judged"),
        (["inconclusive", "exploratory"], 1, "open: every row is inconclusive"),
        (["supported", "refuted"], 1, "open: rows say opposite things"),
        (["supported"], 1, "agrees"),
    ],
)
def test_what_is_open_says_why(filed, verdicts, studies, expected):
    rows = [filed(verdict=name, headline=name != "exploratory") for name in verdicts]
    assert said(rows, studies) == expected


def test_table_1_is_read_by_its_methods_inside_classes(evidence, filed):
    rows = {
        "own": filed(), "named": filed(method="slow"), "damage": collateral(filed),
        "other rate": filed(reading="own_rate"), "other method": filed(method="salun"), "random": filed(forget="random-0.15"),
        "other arm": filed(comparison="sam/final → grokked"),
    }  # fmt: skip
    one = evidence("digits", *rows.values(), kinds=KINDS)
    assert rows_of("table1", one) == [rows["own"], rows["named"], rows["damage"]]
    assert rows_of("table10", one) == [rows["random"]]
    assert rows_of("table11", one) == [rows["other arm"]]


def test_table_2_is_read_by_extraction_beyond_the_oracle(evidence, filed):
    def extraction(claim="extraction", **changes):
        return filed(claim=claim, comparison="final/late-20 → final/early-20", forget="late-20 → early-20", **changes)

    rows = [
        extraction(reading="forget", metric="ES_forget"), extraction(reading="retain", metric="ES_retain"),
        extraction("beyond_oracle", reading="", metric="ES_forget"), extraction("beyond_oracle", reading="", metric="UA"),
        extraction(reading="", metric="extraction_forget", headline=False, verdict="exploratory"), filed(),
    ]  # fmt: skip
    assert rows_of("table2", evidence("tofu-exposure", *rows, kinds=KINDS)) == rows[:3]


def test_smooth_and_flat_models_are_read_by_the_arm_of_the_earlier_side(evidence, filed, measured):
    arms = ["", "spline/", "sam/", "slow/"]
    rows = [collateral(filed, comparison=f"{arm}final → final") for arm in arms]
    cosines = [measured(comparison=f"{arm}final → final") for arm in arms]
    one = evidence("svhn-resnet", *rows, measures=cosines, kinds=KINDS)
    assert {table: rows_of(table, one) for table in ("table1", "table8", "table9", "table11")} == {
        "table1": rows[:1], "table8": rows[:2], "table9": cosines[:2], "table11": rows[2:3],
    }  # fmt: skip


def test_figure_2_is_read_by_updates_of_any_method_and_not_at_half(evidence, filed):
    rows = [filed(), filed(method="salun"), filed(metric="strength"), filed(forget="classes-2-0.5"), collateral(filed)]
    assert rows_of("figure2", evidence("digits", *rows, kinds=KINDS)) == rows[:2]


def test_tables_of_mechanism_are_read_by_measures(evidence, filed, measured):
    rows = [
        measured(),
        measured("local_complexity", on="test", null=""),
        measured("cka_unpaired"),
        measured("base_loss", comparison="final/late → final/early", forget="late → early"),
    ]
    one = evidence("digits-mechanism", filed(), measures=rows)
    tables = ("table3", "table4", "table5", "table9", "table12")
    assert [rows_of(table, one) for table in tables] == [rows[:1], rows[1:2], rows[2:3], rows[:1], rows[3:]]
    assert word(rows_of("table3", one)) == "agrees"


def test_studies_stand_on_the_papers_data_or_on_others(evidence):
    every = [evidence("cifar10-small"), evidence("digits"), evidence("unknown")]
    assert [one.recipe for one in studies_of("table1", every, same=True)] == ["cifar10-small"]
    assert [one.recipe for one in studies_of("table1", every, same=False)] == ["digits"]


def test_parts_read_claims_that_there_are():
    read = {key for part in PARTS.values() for key in part.claims}
    assert {kind for kind, _ in read} <= set(CLAIMS.names())
    assert read <= set(WORDINGS)
    assert [table for table, part in PARTS.items() if not part.says.endswith(".")] == []
